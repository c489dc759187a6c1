/** As the kernel says it of a process, in `/proc/PID/limits`: that it leaves no core dump, and cannot allow itself one. */
export const NO_CORE_DUMPS = /^Max core file size +0 +0 /m;
