package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
)

// A record begins with the checksum of its key and of the rest. An older version
// reads it as one more field; one of an older version has none.
const sealPrefix = `{"sum":`

var errSeal = errors.New("its checksum is wrong")

// seal is v as the file has it under the key.
func seal(key string, v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	rest := raw[1:] // behind the brace
	return fmt.Appendf(nil, "%s%d,%s", sealPrefix, sum(key, rest), rest), nil
}

func sum(key string, rest []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte(key)), crc32.IEEETable, rest)
}

// unseal reads a record into v.
func unseal(key string, raw []byte, v any) error {
	if tail, sealed := bytes.CutPrefix(raw, []byte(sealPrefix)); sealed {
		number, rest, _ := bytes.Cut(tail, []byte(","))
		want, err := strconv.ParseUint(string(number), 10, 32)
		if err != nil || uint32(want) != sum(key, rest) {
			return errSeal
		}
	}
	return json.Unmarshal(raw, v)
}
