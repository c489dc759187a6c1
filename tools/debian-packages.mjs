// What the lab, the tests and the orchestrator's private Redis need from Debian, and how to see that it is there: by the file itself, so
// that a program which came some other way (or another distribution) counts too. `*` in a path stands for one directory.
// What has `onlyFor` is asked for by what is run with a path, or a path and arguments, that begin so, and by nothing else; set-up by hand is for the tests. What has
// `forNode` is needed by Node 26 itself: nothing runs without it, not even a help.

/** Who asks for the most of a gigabyte that the demonstration does not need. */
const TESTS = ['tools/test.mjs', 'test/e2e/main.ts'];

/** The one benchmark that has contenders. */
const BENCH_TUNNEL = ['test/bench/main.ts tunnel'];

export const DEBIAN_PACKAGES = [
  {
    name: 'libatomic1',
    file: '/usr/lib/*/libatomic.so.1',
    // Where others than Debian put it.
    orElse: ['/usr/lib64/libatomic.so.1', '/usr/lib/libatomic.so.1'],
    why: 'Node 26 links it, and a minimal system lacks it',
    forNode: true,
  },
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
  {
    name: 'chromium-headless-shell',
    file: '/usr/bin/chromium-headless-shell',
    why: 'the web page in a real browser',
    onlyFor: TESTS,
  },
  {
    name: 'fonts-dejavu-core',
    file: '/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf',
    why: 'letters for that browser',
    onlyFor: TESTS,
  },
  { name: 'iproute2', file: '/usr/sbin/tc', why: 'network namespaces, the WAN' },
  { name: 'nftables', file: '/usr/sbin/nft', why: 'transparent interception' },
  { name: 'procps', file: '/usr/bin/pkill', why: 'settings of the network namespaces' },
  { name: 'python3', file: '/usr/bin/python3', why: 'what runs at hosts with plain Xen' },
  {
    name: 'debootstrap',
    file: '/usr/sbin/debootstrap',
    why: 'a machine to install the Debian package on',
    onlyFor: TESTS,
  },
  { name: 'lintian', file: '/usr/bin/lintian', why: 'what Debian thinks of the Debian package', onlyFor: TESTS },
  { name: 'shellcheck', file: '/usr/bin/shellcheck', why: 'what is wrong with our shell scripts', onlyFor: TESTS },
  {
    name: 'docker-compose',
    file: '/usr/bin/docker-compose',
    why: 'reading the Compose file as Compose does; it needs no engine for that',
    onlyFor: TESTS,
  },
  { name: 'groff-base', file: '/usr/bin/groff', why: 'reading the manual pages as people do', onlyFor: TESTS },
  { name: 'zsh', file: '/usr/bin/zsh', why: 'completion of the command line', onlyFor: TESTS },
  { name: 'fish', file: '/usr/bin/fish', why: 'completion of the command line', onlyFor: TESTS },
  { name: 'gcc', file: '/usr/bin/gcc', why: 'the link emulator and the guest program of the lab' },
  {
    name: 'golang-go',
    file: '/usr/bin/go',
    why: 'the simulator and the client that the vSphere tests build',
    onlyFor: TESTS,
  },
  {
    name: 'golang-github-vmware-govmomi-dev',
    file: '/usr/share/gocode/src/github.com/vmware/govmomi/vim25/types/types.go',
    why: 'the published types of vSphere, a simulator and a client',
    onlyFor: TESTS,
  },
  {
    name: 'golang-github-masterminds-sprig-dev',
    file: '/usr/share/gocode/src/github.com/Masterminds/sprig/functions.go',
    why: 'rendering the Helm chart as Helm does',
    onlyFor: TESTS,
  },
  {
    name: 'golang-k8s-sigs-yaml-dev',
    file: '/usr/share/gocode/src/sigs.k8s.io/yaml/yaml.go',
    why: 'rendering the Helm chart as Helm does',
    onlyFor: TESTS,
  },
  { name: 'libc6-dev', file: '/usr/include/stdio.h', why: 'the link emulator of the lab' },
  {
    name: 'libssl-dev',
    file: '/usr/include/openssl/evp.h',
    why: 'the reference of the benchmark',
    onlyFor: BENCH_TUNNEL,
  },
  {
    name: 'sqlite3',
    file: '/usr/bin/sqlite3',
    why: 'work for the guests whose memory the benchmark looks at',
    onlyFor: ['test/bench/main.ts page-cache'],
  },
  { name: 'stunnel4', file: '/usr/bin/stunnel4', why: 'what the tunnel is compared with', onlyFor: BENCH_TUNNEL },
  { name: 'haproxy', file: '/usr/sbin/haproxy', why: 'what the tunnel is compared with', onlyFor: BENCH_TUNNEL },
];
