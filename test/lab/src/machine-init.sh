#!/bin/bash
# PID 1 of a machine of the lab (a libvirt host or a gateway machine), in namespaces of its own.
#
# Makes the machine's file system out of the real one: the root read-only, everything a daemon writes to private. What must survive
# a crash of the machine lies in LAB_DIR (etc/libvirt, lib/libvirt, …); the rest is tmpfs. Then starts the daemons and stays
# to reap orphans. SIGKILL to this process is a crash of the machine: the kernel ends everything in the namespace.
set -euo pipefail

fresh() { for dir in "$@"; do mount -t tmpfs -o mode=0755 lab "$dir"; done; }

mount --make-rprivate /
umount -R -l /run/netns 2>/dev/null || true   # else we would keep other labs' namespaces alive
mount -t proc proc /proc

# What comes from LAB_DIR is bound before anything is hidden: LAB_DIR itself may lie below a directory that will be.
fresh /mnt
mkdir -p /mnt/etc /mnt/dev /mnt/run/lab /mnt/keep /mnt/shared /mnt/usr-local/bin /mnt/usr-local/share/lab /mnt/seen
mount --bind "$LAB_DIR" /mnt/keep
cp -a /etc/. /mnt/etc/
cp -a "$LAB_DIR"/ssh/. /mnt/run/lab/

mknod -m 666 /mnt/dev/null c 1 3; mknod -m 666 /mnt/dev/zero c 1 5; mknod -m 666 /mnt/dev/full c 1 7
mknod -m 666 /mnt/dev/random c 1 8; mknod -m 666 /mnt/dev/urandom c 1 9; mknod -m 666 /mnt/dev/tty c 5 0
mkdir -p /mnt/dev/net /mnt/dev/pts /mnt/dev/shm
mknod -m 666 /mnt/dev/net/tun c 10 200
ln -s /proc/self/fd /mnt/dev/fd; ln -s fd/0 /mnt/dev/stdin; ln -s fd/1 /mnt/dev/stdout; ln -s fd/2 /mnt/dev/stderr; ln -s pts/ptmx /mnt/dev/ptmx

if [ "$LAB_ROLE" = host ]; then
  mount --bind "$LAB_SHARED" /mnt/shared
  cp "$LAB_PROGRAMS/lab-qemu" /mnt/usr-local/bin/
  cp "$LAB_PROGRAMS/guest.elf" /mnt/usr-local/share/lab/
fi

# A file is put in place of a file, a directory in place of a directory.
bind_at() { if [ -d "$1" ]; then mkdir -p "$2"; else mkdir -p "$(dirname "$2")"; touch "$2"; fi; mount --bind "$1" "$2"; }
mapfile -t seen <<< "$LAB_SEEN"
for i in "${!seen[@]}"; do bind_at "${seen[i]}" "/mnt/seen/$i"; done

mount --bind /mnt/etc /etc
mount --bind /mnt/dev /dev
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount --bind /mnt/usr-local /usr/local
mount --bind /mnt/run /run
if [ "$LAB_ROLE" = host ]; then
  rm -rf /etc/libvirt && mkdir /etc/libvirt
  mount --bind /mnt/keep/etc-libvirt /etc/libvirt
fi
fresh /root /tmp /var/tmp /var/lib /var/log /var/cache /home /opt /srv
chmod 0700 /root; chmod 1777 /tmp /var/tmp
if [ "$LAB_ROLE" = host ]; then
  mkdir -p /var/lib/libvirt /var/cache/libvirt /var/log/libvirt "$LAB_SHARED_AT"
  mount --bind /mnt/keep/lib-libvirt /var/lib/libvirt
  mount --bind /mnt/keep/cache-libvirt /var/cache/libvirt
  mount --bind /mnt/keep/log-libvirt /var/log/libvirt
  mount --bind /mnt/shared "$LAB_SHARED_AT"
fi
# The programs that are run inside from where they lie, if what holds them has just been hidden.
for i in "${!seen[@]}"; do
  [ -e "${seen[i]}" ] && continue
  bind_at "/mnt/seen/$i" "${seen[i]}"
  mount -o remount,bind,ro "${seen[i]}"
done
umount -l /mnt
mount -o remount,bind,ro /

hostname "$LAB_HOSTNAME"
echo "$LAB_HOSTNAME" > /etc/hostname
cp /run/lab/hosts /etc/hosts
rm -f /etc/machine-id && cp /run/lab/machine-id /etc/machine-id
sed -i 's/^root:[^:]*:/root:*:/' /etc/shadow   # no password, but not locked: sshd refuses locked accounts

mkdir -p /run/sshd /run/lock /run/lab/serial
/usr/sbin/sshd -f /run/lab/sshd_config -E /var/log/sshd.log
if [ "$LAB_ROLE" = host ]; then /usr/sbin/libvirtd --daemon --pid-file /run/libvirtd.pid; fi
touch /run/lab/ready

trap : TERM INT HUP
while :; do sleep 1000000 & wait $! || true; done
