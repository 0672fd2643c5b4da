#!/bin/bash
# run-in-vm.sh COMMAND [ARG...]: run a command as root under Debian's cloud
# kernel, in qemu without hardware acceleration. It is for what the running
# kernel has not, such as 802.1Q, and works as `go test -exec` as well.
#
# The guest sees this machine's files below a throw-away overlay: what it writes
# is lost, except in the current directory, the command's own, and the
# directories in VM_SHARE. /dev, /proc, /sys, /run and the kernel are its own, and
# it has no network. The exit status is the command's; 125 if the guest did not
# tell one. The guest gets PATH, HOME, TERM, LANG and what begins with GO, CGO,
# CNI, VPC or VM_.
#
#   VM_CACHE    where the kernel is kept (bin/vm of this checkout)
#   VM_SHARE    more directories that the guest may write to
#   VM_MEM      memory, 1G;  VM_SMP  CPUs, 1;  VM_TIMEOUT  seconds, 600
set -euo pipefail
repo=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
cache=${VM_CACHE:-$repo/bin/vm}
kernel=linux-image-cloud-amd64

[ $# -gt 0 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"; exit 2; }
for need in qemu-system-x86_64 busybox depmod cpio flock /usr/lib/qemu/virtiofsd; do
  command -v "$need" >/dev/null || { echo "run-in-vm: $need is missing: tools/setup/packages.sh test installs it" >&2; exit 125; }
done
[ "$(id -u)" -eq 0 ] || { echo "run-in-vm: needs root: virtiofsd hands this machine's files on" >&2; exit 125; }

# fetch unpacks the kernel's package, whose scripts are never run, and makes an
# initramfs of the modules that are needed to find the root directory.
fetch() {
  local package version number=10 module file
  cd "$cache"
  rm -rf kernel initramfs ./*.deb
  mkdir -p initramfs/{bin,modules,lower,upper,root,proc,dev}
  package() { apt-cache depends "$kernel" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image.*\)/\1/p' | head -n 1; }
  package=$(package)
  [ -n "$package" ] || { apt-get update -qq >&2; package=$(package); }
  echo "fetching $package for tests of 802.1Q" >&2
  # apt's own user may not be able to write here; root downloads as root.
  apt-get -qq -o APT::Sandbox::User=root download "$package" >&2
  dpkg -x "$package"_*.deb kernel
  rm -f "$package"_*.deb
  version=$(ls kernel/lib/modules)
  depmod -b "$cache/kernel" "$version"
  cp kernel/boot/vmlinuz-* vmlinuz
  cp "$(command -v busybox)" initramfs/bin/busybox
  for module in virtio_pci virtio_mmio virtio_console virtiofs overlay; do
    modprobe -d "$cache/kernel" -S "$version" --show-depends "$module"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
    cp "$file" "initramfs/modules/$number-${file##*/}"
    number=$((number + 1))
  done
  cat >initramfs/init <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
for m in /modules/*; do $b insmod "$m"; done
for word in $($b cat /proc/cmdline); do
  case $word in vm_run=*) run=${word#vm_run=} ;; esac
done
$b mount -t virtiofs host /lower
$b mount -t tmpfs upper /upper
$b mkdir /upper/data /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work root /root
. "/lower/$run/mounts"
INIT
  chmod +x initramfs/init
  (cd initramfs && find . | cpio -o -H newc --quiet) >initrd.part
  mv initrd.part initrd
}

mkdir -p "$cache"
cache=$(readlink -f "$cache")
(
  flock 9
  [ -s "$cache/initrd" ] || fetch
) 9>"$cache/lock"

run=$(mktemp -d "${TMPDIR:-/tmp}/vm.XXXXXX")
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$run"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

program=$(readlink -f "$(command -v -- "$1")")
shift

# mounts: what the guest's root gets, and the change into it.
{
  echo "cd /root"
  echo "\$b rm -rf lib/modules; \$b ln -s '$cache/kernel/lib/modules' lib/modules"
  for dir in "$PWD" "$(dirname "$program")" "$run" ${VM_SHARE:-}; do
    echo "\$b mount -o bind '/lower$dir' './$dir'"
  done
  for what in proc:proc sysfs:sys devtmpfs:dev tmpfs:run; do
    echo "\$b mount -t ${what%:*} none ./${what#*:}"
  done
  echo "\$b mount -t cgroup2 none ./sys/fs/cgroup"
  echo "\$b mkdir -p dev/pts dev/shm run/netns run/lock"
  echo "\$b mount -t devpts none dev/pts; \$b mount -t tmpfs none dev/shm; \$b ln -s /proc/self/fd dev/fd"
  # On top of the initramfs and not below it: there neither pivot_root works nor
  # does setns lead to this root, and vpcsim makes its hosts' mounts with them.
  echo "\$b mount --move . /"
  echo "exec \$b chroot . /bin/bash '$run/first'"
} >"$run/mounts"

# first: process 1; command: the environment and the command itself.
cat >"$run/first" <<FIRST
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec >/dev/hvc0 2>&1 </dev/null
stty -F /dev/hvc0 -opost
ip link set lo up
bash '$run/command'
echo \$? >'$run/status'
busybox poweroff -f
FIRST
{
  printf 'cd %q\n' "$PWD"
  for name in $(compgen -e | grep -E '^((PATH|HOME|TERM|LANG)$|GO|CGO|CNI|VPC|VM_)'); do declare -p "$name"; done
  printf 'exec'
  printf ' %q' "$program" "$@"
  echo
} >"$run/command"

/usr/lib/qemu/virtiofsd --socket-path="$run/socket" -o source=/ -o cache=always -o sandbox=chroot >"$run/virtiofsd.log" 2>&1 &
server=$!
for _ in $(seq 200); do [ ! -S "$run/socket" ] || break; sleep 0.02; done

memory=${VM_MEM:-1G}
# virtiofs needs memory that its server can map; q35 is the machine whose PCI devices it was tried with.
timeout -k 5 "${VM_TIMEOUT:-600}" qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max -smp "${VM_SMP:-1}" -m "$memory" \
  -object memory-backend-memfd,id=memory,size="$memory",share=on -numa node,memdev=memory \
  -nodefaults -no-user-config -display none -no-reboot -kernel "$cache/vmlinuz" -initrd "$cache/initrd" \
  -append "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off vm_run=$run" -serial "file:$run/console" \
  -chardev stdio,id=out,signal=off -device virtio-serial-pci -device virtconsole,chardev=out \
  -chardev socket,id=files,path="$run/socket" -device vhost-user-fs-pci,chardev=files,tag=host \
  </dev/null 2>"$run/qemu.log" || true
if [ ! -s "$run/status" ]; then
  echo "run-in-vm: the guest told no exit status" >&2
  tail -n 20 "$run"/{console,qemu.log,virtiofsd.log} >&2
  exit 125
fi
exit "$(cat "$run/status")"
