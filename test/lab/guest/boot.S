/* Multiboot entry of the lab's guest: a stack, then C. The loader (QEMU's -kernel) gives us flat 32-bit protected mode. */
        .section .multiboot, "a"
        .align 4
        .long 0x1BADB002                /* multiboot 1 magic */
        .long 0x00000003                /* page-aligned modules, memory map wanted */
        .long -(0x1BADB002 + 0x00000003)

        .section .bss
        .align 16
stack:  .skip 32768
stack_top:

        .text
        .globl _start
_start: cli
        cld
        movl $stack_top, %esp
        pushl %ebx                      /* multiboot information */
        pushl %eax                      /* multiboot magic of the loader */
        call kernel_main
1:      hlt
        jmp 1b
        .section .note.GNU-stack, "", @progbits
