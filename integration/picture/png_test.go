package picture

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"slices"
	"testing"
)

// mostPicture bounds docs/picture.png, bytes.
const mostPicture = 150_000

// writePicture writes docs/picture.png with the 256 colours that the screenshot
// has most of: a third of the size, and nobody sees it.
func writePicture(t *testing.T, raw []byte) {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	often := map[color.Color]int{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			often[img.At(x, y)]++
		}
	}
	palette := color.Palette(slices.SortedFunc(maps.Keys(often), func(a, b color.Color) int { return cmp.Compare(often[b], often[a]) }))
	small := image.NewPaletted(img.Bounds(), palette[:min(256, len(palette))])
	draw.Draw(small, small.Bounds(), img, image.Point{}, draw.Src)
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		t.Fatal(err)
	}
	if out.Len() > mostPicture {
		t.Fatalf("docs/picture.png would have %d bytes", out.Len())
	}
	if err := os.WriteFile("../../docs/picture.png", out.Bytes(), 0o644); err != nil { //nolint:gosec // a document
		t.Fatal(err)
	}
}
