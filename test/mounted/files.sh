#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What may be done to a mount's files, and what not: each call has its errno and a refused one changes nothing; images of any
# size, from one sector; reads and writes past the page cache; a mapping that is dirty while a snapshot is taken; readers of a
# snapshot while the origin is written.
. "$(dirname "$0")/functions.sh"
create() { "$DMSNAP" create "$@" > out.txt 2> err.txt || fail "create $*: $(cat err.txt)"; }
size=$((6 * 1024 * 1024 + 512 * 5)) # no multiple of a page
head -c $size /dev/urandom > disk.img
cp disk.img frozen.img
chmod 640 disk.img
serve disk.img d
create d snap --chunk-size 16K
create d fixed --read-only

# every call and its errno, on the origin and on a snapshot; neither content nor the list of files changes
cat > errnos.py << 'PYTHON'
import errno, os, sys
size, failures = int(sys.argv[1]), []
def expect(wanted, name, call):
    try:
        call()
        got = "done"
    except OSError as error:
        got = errno.errorcode[error.errno].replace("ENOTSUP", "EOPNOTSUPP")
    if got not in wanted.split("|"):
        failures.append(f"{name}: {got}, not {wanted}")
def opened(path, flags):
    os.close(os.open(path, flags))
W, C = os.O_WRONLY, os.O_CREAT
for path in "d/origin", "d/snapshots/snap":
    fd, say = os.open(path, os.O_RDWR), lambda text: f"{text} {path}"
    past = "EFBIG|ENOSPC"
    expect(past, say("a write at the end of"), lambda: os.pwrite(fd, b"x", size))
    expect(past, say("a write across the end of"), lambda: os.pwrite(fd, b"x" * 1000, size - 500))
    expect(past, say("a write far behind"), lambda: os.pwrite(fd, b"x", 1 << 50))
    expect(past, say("an append to"), lambda: os.write(os.open(path, W | os.O_APPEND), b"x"))
    for new in 0, 1, size - 1, size + 1, 1 << 40:
        expect("EPERM", say(f"ftruncate to {new} of"), lambda: os.ftruncate(fd, new))
        expect("EPERM", say(f"truncate to {new} of"), lambda: os.truncate(path, new))
    expect("done", say("truncate to the present size of"), lambda: os.truncate(path, size))
    expect("EPERM", say("O_TRUNC of"), lambda: opened(path, W | os.O_TRUNC))
    expect("EEXIST", say("O_EXCL of"), lambda: opened(path, W | C | os.O_EXCL))
    expect("done", say("O_CREAT of an existing"), lambda: opened(path, W | C))
    expect("EPERM", say("link of"), lambda: os.link(path, "d/snapshots/x"))
    expect("EOPNOTSUPP", say("setxattr of"), lambda: os.setxattr(path, "user.x", b"1"))
    expect("EOPNOTSUPP", say("getxattr of"), lambda: os.getxattr(path, "user.x"))
    expect("ENOTDIR", say("opendir of"), lambda: os.listdir(path))
    expect("EXDEV", say("renaming out"), lambda: os.rename(path, "out.img"))
    expect("done", say("touch of"), lambda: os.utime(path))
    assert os.pread(fd, 10, size) == b"" and os.pread(fd, 600, size - 5) == os.pread(fd, 5, size - 5)
    os.close(fd)
expect("EROFS", "writing to a read-only snapshot", lambda: opened("d/snapshots/fixed", W))
for folder in "d", "d/snapshots", "d/.dmsnap":
    x = folder + "/x"
    if folder != "d/snapshots":
        expect("EPERM", "making " + x, lambda: opened(x, W | C))
        expect("EPERM", "mknod " + x, lambda: os.mknod(x))
        expect("EPERM", "renaming a snapshot to " + x, lambda: os.rename("d/snapshots/snap", x))
    expect("EPERM", "renaming origin to " + x, lambda: os.rename("d/origin", x))
    expect("EPERM", "mkdir " + x, lambda: os.mkdir(x))
    expect("EPERM", "symlink " + x, lambda: os.symlink("origin", x))
    expect("EPERM", "mkfifo " + x, lambda: os.mkfifo(x))
    expect("EXDEV", "renaming a file into " + x, lambda: os.rename("frozen.img", x))
    expect("ENOENT", "opening " + x, lambda: opened(x, os.O_RDONLY))
    expect("ENOENT", "removing " + x, lambda: os.unlink(x))
expect("EEXIST", "renaming onto a snapshot", lambda: os.rename("d/snapshots/snap", "d/snapshots/fixed"))
for path in "d/origin", "d/.dmsnap/control", "d/.dmsnap/status":
    expect("EPERM", "removing " + path, lambda: os.unlink(path))
for path in "d/snapshots", "d/.dmsnap":
    expect("EPERM", "rmdir " + path, lambda: os.rmdir(path))
assert sorted(os.listdir("d")) == ["origin", "snapshots"] and sorted(os.listdir("d/snapshots")) == ["fixed", "snap"]
sys.exit("\n".join(failures) or 0)
PYTHON
python3 errnos.py $size || fail "see above"
for file in d/origin d/snapshots/snap d/snapshots/fixed; do
  cmp $file frozen.img || fail "refused calls changed $file"
  [ "$(stat -c '%s %a' $file | cut -d' ' -f1)" = $size ] || fail "size of $file: $(stat -c %s $file)"
done
[ "$(stat -c %a d/origin d/snapshots/fixed | xargs)" = "640 440" ] || fail "modes: $(stat -c %a d/origin d/snapshots/fixed | xargs)"

# st_blocks: a copied chunk is counted, by what it takes on disk
[ "$(stat -c %b d/origin)" -ge $((size / 512)) ] || fail "st_blocks of the origin is $(stat -c %b d/origin)"
[ "$(stat -c %b d/snapshots/fixed)" -lt 1000 ] || fail "st_blocks of an empty snapshot is $(stat -c %b d/snapshots/fixed)"
dd if=/dev/zero of=d/origin bs=1M count=4 conv=notrunc,fsync status=none
[ "$(stat --cached=never -c %b d/snapshots/fixed)" -ge 8192 ] || fail "st_blocks behind 4 MiB of copies: $(stat --cached=never -c %b d/snapshots/fixed)"
cmp d/snapshots/fixed frozen.img || fail "the copies are not what was"
dd if=frozen.img of=d/origin bs=64K conv=notrunc,fsync status=none

# past the page cache and through it, on the same bytes
python3 - d/origin d/snapshots/snap << 'PYTHON'
import mmap, os, random, sys
random.seed(5)
for path in sys.argv[1:]:
    expected = bytearray(open("frozen.img", "rb").read())
    direct, cached = os.open(path, os.O_RDWR | os.O_DIRECT), os.open(path, os.O_RDWR)
    for number in range(300):
        length = 512 * random.randint(1, 300)
        at = 512 * random.randint(0, (len(expected) - length) // 512)
        if number % 3:
            buffer = mmap.mmap(-1, length)  # page aligned
            buffer.write(random.randbytes(length))
            assert os.pwritev(direct, [buffer], at) == length
            expected[at:at + length] = buffer[:]
        else:
            odd = random.randint(0, 511)
            assert os.pwrite(cached, random.randbytes(1) * (length - odd), at + odd) == length - odd
            expected[at + odd:at + length] = os.pread(cached, length - odd, at + odd)
        buffer = mmap.mmap(-1, length)
        assert os.preadv(direct, [buffer], at) == length
        assert buffer[:] == expected[at:at + length] == os.pread(cached, length, at), (path, number)
    assert open(path, "rb").read() == expected
    open("expected." + os.path.basename(path), "wb").write(expected)
PYTHON
cmp d/origin expected.origin && cmp d/snapshots/snap expected.snap && cmp d/snapshots/fixed frozen.img || fail "direct and cached I/O"

# readers of a snapshot while the origin is written, in pieces of any size; then a mapping that is dirty when a snapshot is taken
for reader in 1 2 3; do
  (for _ in 1 2 3 4 5; do cmp d/snapshots/fixed frozen.img && dd if=d/snapshots/fixed iflag=direct bs=96K status=none | cmp - frozen.img || exit 1; done) &
  readers+=($!)
done
for block in 512 7777 65536 1000000; do dd if=/dev/urandom of=d/origin bs=$block count=$((size / block)) conv=notrunc status=none; done
for reader in "${readers[@]}"; do wait "$reader" || fail "a reader saw what the origin got later"; done
python3 - "$DMSNAP" << 'PYTHON'
import mmap, os, subprocess, sys
fd = os.open("d/origin", os.O_RDWR)
view = mmap.mmap(fd, 8192)
view[4000:4010] = b"before it."
subprocess.run([sys.argv[1], "create", "d", "mapped"], check=True, capture_output=True)
view[4000:4010] = b"after it.."
view.flush()
with open("d/snapshots/mapped", "rb") as snapshot:
    assert snapshot.read(8192)[4000:4010] == b"before it.", "the dirty mapping is not in the snapshot, or what came later is"
PYTHON
cp d/snapshots/mapped mapped.img
cp d/origin origin.img

# rm is remove; the name can be used again, and is a new file
rm d/snapshots/fixed
[ ! -e d/snapshots/fixed ] && [ ! -e disk.img.dmsnap/fixed.cow ] || fail "rm left the snapshot"
create d fixed
cmp d/snapshots/fixed d/origin || fail "a snapshot under a name that was used shows old content"
unserve d
cmp disk.img origin.img || fail "the image is not what the origin was"
serve disk.img d
cmp d/origin origin.img && cmp d/snapshots/snap expected.snap && cmp d/snapshots/mapped mapped.img && cmp d/snapshots/fixed origin.img || fail "after mounting again"
unserve d

# images smaller than a chunk, and with a part of a chunk at their end
for each in 512 1024 4608 $((65536 - 512)) $((65536 + 512)) $((1048576 + 512 * 9)); do
  head -c "$each" /dev/urandom > "size$each.img"
  cp "size$each.img" was.img
  serve "size$each.img" d
  create d small --chunk-size 512
  create d large --chunk-size 64K
  for write in 1 2; do # the second one finds its copies made
    head -c "$each" /dev/urandom > now.img
    dd if=now.img of=d/origin bs=512 seek=$((each / 512 - 1)) skip=$((each / 512 - 1)) conv=notrunc,fsync status=none
    dd if=now.img of=d/origin bs=300 conv=notrunc status=none
    cmp d/origin now.img && cmp d/snapshots/small was.img && cmp d/snapshots/large was.img || fail "an image of $each bytes, write $write"
  done
  dd if=now.img of=d/snapshots/large bs=$each conv=notrunc status=none
  unserve d
  serve "size$each.img" d
  cmp d/origin now.img && cmp d/snapshots/small was.img && cmp d/snapshots/large now.img || fail "an image of $each bytes, mounted again"
  unserve d
done
