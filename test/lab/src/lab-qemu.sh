#!/bin/bash
# The hosts' <emulator>: QEMU with a little more memory than it was asked for.
#
# QEMU 7.2 under TCG can lose writes in live migrations of several passes: where the length of RAM is a multiple of 256 KiB, the fast path of
# its dirty-bitmap synchronisation forgets to reset the TCG TLB. 8 KiB more (to -m and to the size of pc.ram, at both ends alike)
# keep it off that path.
args=()
while [ $# -gt 0 ]; do
  case $1 in
    -m)
      kib=${2#size=}
      case $kib in
        *k|*K) kib=${kib%[kK]} ;;
        *M) kib=$((${kib%M} * 1024)) ;;
        *G) kib=$((${kib%G} * 1024 * 1024)) ;;
        *) kib=$((kib * 1024)) ;;
      esac
      args+=(-m "size=$((kib + 8))k")
      shift 2 ;;
    -object)
      object=$2
      if [[ $object =~ ^(.*\"id\":\"pc.ram\".*\"size\":)([0-9]+)(.*)$ ]]; then
        object="${BASH_REMATCH[1]}$((BASH_REMATCH[2] + 8192))${BASH_REMATCH[3]}"
      fi
      args+=(-object "$object")
      shift 2 ;;
    *)
      args+=("$1")
      shift ;;
  esac
done
exec "${LAB_QEMU:-/usr/bin/qemu-system-x86_64}" "${args[@]}"
