// What the lab, the tests and the orchestrator's private Redis need from Debian, and how to see that it is there: by the file itself, so
// that a program which came some other way (or another distribution) counts too. `*` in a path stands for one directory.
// What has `onlyFor` is asked for by the scripts of that directory alone.

export const DEBIAN_PACKAGES = [
  { name: 'redis-server', file: '/usr/bin/redis-server', why: 'the queue and the records of the orchestrator' },
  { name: 'qemu-system-x86', file: '/usr/bin/qemu-system-x86_64', why: 'the VMs that are migrated' },
  { name: 'qemu-utils', file: '/usr/bin/qemu-img', why: 'their disks' },
  { name: 'libvirt-daemon', file: '/usr/sbin/libvirtd', why: 'the two hosts of the lab' },
  {
    name: 'libvirt-daemon-driver-qemu',
    file: '/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so',
    why: 'the two hosts of the lab',
  },
  { name: 'libvirt-daemon-system', file: '/etc/default/libvirtd', why: 'the two hosts of the lab' },
  { name: 'libvirt-clients', file: '/usr/bin/virsh', why: 'defining and watching the VMs of the lab' },
  { name: 'openssh-server', file: '/usr/sbin/sshd', why: 'how the orchestrator reaches hosts and gateways' },
  { name: 'openssh-client', file: '/usr/bin/ssh-keygen', why: 'the keys of the lab' },
  { name: 'iproute2', file: '/usr/sbin/tc', why: 'network namespaces, the WAN' },
  { name: 'nftables', file: '/usr/sbin/nft', why: 'transparent interception' },
  { name: 'procps', file: '/usr/bin/pkill', why: 'settings of the network namespaces' },
  { name: 'gcc', file: '/usr/bin/gcc', why: 'the link emulator and the guest program of the lab' },
  { name: 'libc6-dev', file: '/usr/include/stdio.h', why: 'the link emulator of the lab' },
  {
    name: 'libssl-dev',
    file: '/usr/include/openssl/evp.h',
    why: 'the reference of the benchmark',
    onlyFor: 'test/bench',
  },
  { name: 'stunnel4', file: '/usr/bin/stunnel4', why: 'what the tunnel is compared with', onlyFor: 'test/bench' },
  { name: 'haproxy', file: '/usr/sbin/haproxy', why: 'what the tunnel is compared with', onlyFor: 'test/bench' },
];
