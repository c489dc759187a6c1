#!/bin/busybox sh
# shellcheck shell=dash disable=SC2013
# First program of the benchmark's Linux guest. `load=NAME` on the kernel's command line says what it does once its data is there.
# It says AT WORK on the serial line when that has begun.
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=60% data /data
ifconfig lo 127.0.0.1 up
echo 1 > /proc/sys/vm/overcommit_memory
for word in $(cat /proc/cmdline); do
  case $word in load=*) load=${word#load=} ;; esac
done

redis() {
  redis-server --port 0 --unixsocket /data/redis.sock --save '' --appendonly no --daemonize yes --logfile /data/redis.log
  until redis-cli -s /data/redis.sock ping > /dev/null 2>&1; do usleep 100000; done
  redis-cli -s /data/redis.sock --eval /fill.lua
}

# A batch of 50 requests fifty times a second, as far as the processor goes; each with a seed of its own.
redis_work() {
  script=$(redis-cli -s /data/redis.sock -x SCRIPT LOAD < /work.lua)
  n=0
  while :; do
    n=$((n + 1))
    echo "EVALSHA $script 0 $n"
    usleep 20000
  done | redis-cli -s /data/redis.sock > /dev/null
}

sqlite() {
  sqlite3 /data/bank.db < /fill.sql
}

# A transaction of 20 transfers fifty times a second, as far as the processor goes.
sqlite_work() {
  while :; do
    cat /work.sql
    usleep 20000
  done | sqlite3 /data/bank.db > /dev/null
}

case $load in
  redis) redis; redis_work & ;;
  sqlite) sqlite; sqlite_work & ;;
  idle) redis ;;
esac
echo "AT WORK $load"
while :; do sleep 3600; done
