# SPDX-License-Identifier: GPL-2.0-or-later
# clean_up FOLDER: ends the processes whose ids are in FOLDER/**/*.pid, thaws and unmounts everything below the folder,
# detaches the loop devices over files in it, and removes it. Says what it found; status 1 when there was something but the folder.
clean_up() {
  local folder=$1 left=0 mount loop pid_file
  [ -d "$folder" ] || return 0
  for pid_file in $(find "$folder" -xdev -name '*.pid' 2> /dev/null); do
    if kill -9 "$(cat "$pid_file")" 2> /dev/null; then
      echo "left behind: process $(cat "$pid_file")"
      left=1
    fi
  done
  # What is frozen when its last mount goes stays so, without a way to it, and keeps its loop device for ever.
  findmnt -rn -t ext4,xfs,btrfs -o TARGET | grep -F "$folder/" | while read -r mount; do timeout 5 fsfreeze -u "$mount" 2> /dev/null; done
  for _ in 1 2 3; do
    # Before the mounts: a file of a mount that is gone has no path any more. A busy one goes with its last user.
    while read -r loop; do
      echo "left behind: $loop"
      left=1
      losetup -d "$loop"
    done < <(losetup -ln -O NAME,BACK-FILE | grep -F "$folder/" | awk '{print $1}')
    while read -r mount; do
      echo "left behind: mount $mount"
      left=1
      umount -l -i "$mount"
    done < <(findmnt -rn -o TARGET | grep -F "$folder/" | sort -r)
  done
  rm -rf --one-file-system "$folder"
  return $left
}
