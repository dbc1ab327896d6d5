#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The images behave as files: cp, dd, cmp, mmap and O_DIRECT on them, at any offset and with any length; what has no
# meaning for them fails with a clear errno and changes nothing.
. "$(dirname "$0")/functions.sh"
head -c $((5 * 1024 * 1024 + 512 * 3)) /dev/urandom > disk.img # no multiple of a chunk or a page
cp disk.img frozen.img
size=$(stat -c %s disk.img)
serve disk.img d
"$DMSNAP" create d snap --chunk-size 64K > out.txt 2> err.txt
snap=d/snapshots/snap
[ "$(stat -c %s d/origin $snap | xargs)" = "$size $size" ] || fail "sizes: $(stat -c %s d/origin $snap | xargs)"
before=$(stat -c %b $snap)

# dd at odd places with odd lengths, the same on a plain copy
for each in "1 1 3" "511 513 7" "4095 2 9" "65535 65537 3" "100000 12345 30"; do
  read -r block seek count <<< "$each"
  head -c $((block * count)) /dev/urandom > piece
  [ $((block * seek + block * count)) -le "$size" ] || continue
  for file in d/origin shadow.img; do
    [ -e shadow.img ] || cp frozen.img shadow.img
    dd if=piece of=$file bs="$block" seek="$seek" conv=notrunc status=none
  done
done
sync d/origin
cmp d/origin shadow.img || fail "dd: the origin is not what was written"
cmp $snap frozen.img || fail "dd: the snapshot changed"
[ "$(stat --cached=never -c %b $snap)" -gt "$before" ] || fail "st_blocks of the snapshot does not grow with its copies"

# whole files
cp d/origin copy.img && cmp copy.img shadow.img
cp --sparse=always $snap copy.img && cmp copy.img frozen.img
dd if=$snap of=copy.img bs=1M iflag=direct status=none && cmp copy.img frozen.img
dd if=frozen.img of=d/origin bs=1M conv=notrunc,fsync status=none && cmp d/origin frozen.img
dd if=shadow.img of=$snap bs=64K oflag=direct conv=notrunc status=none iflag=fullblock count=$((size / 65536))
cmp -n $((size / 65536 * 65536)) $snap shadow.img || fail "direct writes to the snapshot are not read back"
cmp d/origin frozen.img || fail "a write to the snapshot changed the origin"
cp frozen.img $snap 2> err.txt && fail "cp onto an existing snapshot truncates it"
unserve d
serve disk.img d
cmp d/origin frozen.img || fail "after mounting again: the origin"
cmp -n $((size / 65536 * 65536)) $snap shadow.img || fail "after mounting again: the snapshot"

# shared mappings, through the page cache and to the other side of a remount; errnos
python3 - d/origin $snap << 'PYTHON'
import errno, mmap, os, sys
size = os.stat(sys.argv[1]).st_size
for path in sys.argv[1:]:
    fd = os.open(path, os.O_RDWR)
    view = mmap.mmap(fd, size)
    view[4090:4102] = b"across pages"
    view[size - 3:size] = b"end"
    view.flush()
    assert os.pread(fd, 12, 4090) == b"across pages" and os.pread(fd, 100, size - 3) == b"end"
    os.pwrite(fd, b"by write", 70000)
    assert view[70000:70008] == b"by write"

    def refused(wanted, call, *arguments):
        try:
            call(*arguments)
        except OSError as error:
            assert error.errno in wanted, (call, errno.errorcode[error.errno])
        else:
            raise AssertionError(f"{call} {arguments} on {path} succeeded")
        assert os.fstat(fd).st_size == size and os.pread(fd, 3, size - 3) == b"end"

    refused((errno.EFBIG, errno.ENOSPC), os.pwrite, fd, b"x" * 10, size)
    refused((errno.EFBIG, errno.ENOSPC), os.pwrite, fd, b"x" * 10, size + 5000)
    refused((errno.EPERM, errno.EINVAL), os.ftruncate, fd, size - 512)
    refused((errno.EPERM, errno.EINVAL), os.ftruncate, fd, size + 512)
    os.ftruncate(fd, size)  # no change
    refused((errno.EPERM,), os.link, path, path + "2")
    refused((errno.EOPNOTSUPP,), os.setxattr, path, "user.x", b"1")
    refused((errno.EPERM, errno.EOPNOTSUPP), os.open, path, os.O_RDWR | os.O_TRUNC)
    assert os.pread(fd, 100, size) == b""
    os.close(fd)
folder = os.path.dirname(sys.argv[2])
for call in (lambda: os.mkdir(folder + "/x"), lambda: os.symlink("a", folder + "/x"), lambda: os.unlink(sys.argv[1]),
             lambda: os.rename(sys.argv[2], os.path.dirname(sys.argv[1]) + "/x"), lambda: os.rmdir(folder)):
    try:
        call()
    except OSError as error:
        assert error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.EBUSY), error
    else:
        raise AssertionError("succeeded")
PYTHON
cp d/origin origin.now && cp $snap snap.now
unserve d
cmp disk.img origin.now || fail "a mapping's bytes are not in the image"
serve disk.img d
cmp $snap snap.now || fail "a mapping's bytes are not in the snapshot"

# rm of a snapshot removes it: refused while it is open
exec 3< $snap
! rm $snap 2> err.txt || fail "rm of an open snapshot succeeded"
grep -qi busy err.txt || fail "rm of an open snapshot: $(cat err.txt)"
exec 3<&-
rm $snap
[ -z "$("$DMSNAP" list d 2> err.txt)" ] && [ ! -e disk.img.dmsnap/snap.cow ] || fail "rm did not remove the snapshot"
unserve d
