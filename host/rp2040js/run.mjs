// Runs a program for the RP2040 in rp2040js: node run.mjs FIRMWARE PORT
//
//   FIRMWARE   an ELF or a UF2 file, put into the flash and booted as the chip's boot ROM does
//   PORT       of TCP on 127.0.0.1: UART0, for one host at a time; 0 takes a free one and tells it
//
// The chip's time is that of its instructions while it works, which takes longer here than on a
// board; while it sleeps (wfi) it goes with this machine's clock, and no core is kept busy.

import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const FLASH = 0x10000000;
const BOOT2_RAM = 0x20041f00; // RP2040 data sheet, 2.8.1.3: where the boot ROM puts the second stage
const BOOT2_SIZE = 256;
const FAMILY = 0xe48bff56;
const AIRCR = 0xd0c;
const SYSRESETREQ = 0x05fa0004;
const NANOSECONDS = 1e9 / 125e6; // per clock
const PERIOD = 64; // instructions between looks at the line
const SLICE_MS = 5; // of work between looks at the network
const PARENT_MS = 500;

function fail(words) {
    console.error(words);
    process.exit(1);
}

async function loadPackage() {
    try {
        return await import("rp2040js");
    } catch {
        const here = dirname(fileURLToPath(import.meta.url));
        return fail(`The npm package rp2040js is not installed. Get it: npm ci --prefix ${here}`);
    }
}

// -- files ------------------------------------------------------------------------------------

/** What a program puts where: [{address, data}]. */
function readProgram(path) {
    const file = readFileSync(path);
    if (file.length > 52 && file.readUInt32BE(0) === 0x7f454c46) return elfSegments(file);
    if (file.length >= 512 && file.readUInt32LE(0) === 0x0a324655) return uf2Blocks(file);
    return fail(`${path} is neither an ELF nor a UF2 file.`);
}

function elfSegments(file) {
    const segments = [];
    for (let i = 0; i < file.readUInt16LE(44); i++) {
        const header = file.readUInt32LE(28) + i * file.readUInt16LE(42);
        const [type, offset, , address, size] = [0, 4, 8, 12, 16].map((at) =>
            file.readUInt32LE(header + at),
        );
        if (type === 1 && size) segments.push({ address, data: file.subarray(offset, offset + size) });
    }
    return segments;
}

function uf2Blocks(file) {
    const blocks = [];
    for (let at = 0; at + 512 <= file.length; at += 512) {
        if (file.readUInt32LE(at + 28) !== FAMILY) continue; // the boot ROM passes over it: 2.8.4
        const size = file.readUInt32LE(at + 16);
        const data = file.subarray(at + 32, at + 32 + size);
        blocks.push({ address: file.readUInt32LE(at + 12), data });
    }
    return blocks;
}

// -- the chip ---------------------------------------------------------------------------------

/** 2.8.1.3.1: polynomial 04C11DB7, from the highest bit, begun with ones. */
function crc32(bytes) {
    let crc = 0xffffffff;
    for (const byte of bytes) {
        crc ^= byte << 24;
        for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0);
    }
    return crc >>> 0;
}

/** What a reset of the core does, and then the boot ROM: 2.8.1. Memory keeps its content. */
function boot(chip) {
    const boot2 = chip.flash.subarray(0, BOOT2_SIZE);
    if (crc32(boot2.subarray(0, 252)) !== chip.flashView.getUint32(252, true))
        fail("The boot ROM would not start this: the second stage's CRC is wrong.");
    chip.sram.set(boot2, BOOT2_RAM - 0x20000000);
    const { core, ppb } = chip;
    ppb.reset();
    core.VTOR = core.enabledInterrupts = core.IPSR = core.currentMode = 0;
    core.PM = core.waiting = core.pendingSystick = false;
    core.SP = BOOT2_RAM;
    core.LR = 0;
    core.PC = BOOT2_RAM;
}

function makeChip({ RP2040, ConsoleLogger, LogLevel }, program) {
    const chip = new RP2040();
    chip.logger = new ConsoleLogger(LogLevel.Error, false);
    for (const { address, data } of program) {
        const offset = address - FLASH;
        if (offset < 0 || offset + data.length > chip.flash.length)
            fail(`The program does not lie in the flash: ${data.length} bytes at ${address}.`);
        chip.flash.set(data, offset);
    }
    const { ppb } = chip; // it knows no reset of the core
    const write = ppb.writeUint32.bind(ppb);
    ppb.writeUint32 = (offset, value) => {
        if (offset !== AIRCR) return write(offset, value);
        if (value >>> 0 === SYSRESETREQ) boot(chip);
    };
    boot(chip);
    return chip;
}

// -- the line ---------------------------------------------------------------------------------

/** UART0 on a TCP port. feed() hands over what the chip has room for, flush() sends. */
function openLine(uart, port, onBytes) {
    const received = []; // chunks, the first from `next` on
    let next = 0;
    let sent = [];
    let client = null;

    uart.onByte = (byte) => sent.push(byte);
    const server = createServer({ noDelay: true }, (socket) => {
        if (client) return socket.destroy();
        client = socket;
        socket.on("error", () => {});
        socket.on("close", () => (client = null));
        socket.on("data", (chunk) => {
            received.push(chunk);
            onBytes();
        });
    });
    server.on("error", (error) => fail(`Cannot listen on port ${port}: ${error.message}.`));
    server.listen(port, "127.0.0.1", () => {
        if (port === 0) console.log(`socket://127.0.0.1:${server.address().port}`);
    });

    return {
        feed() {
            while (received.length && uart.rxFIFO.empty) {
                uart.feedByte(received[0][next++]);
                if (next === received[0].length) {
                    received.shift();
                    next = 0;
                }
            }
        },
        flush() {
            if (client && sent.length) client.write(Buffer.from(sent));
            sent = [];
        },
    };
}

// -- time -------------------------------------------------------------------------------------

const [path, port] = process.argv.slice(2);
if (!path || !/^\d+$/.test(port ?? "")) fail("Say: node run.mjs FIRMWARE PORT");
const chip = makeChip(await loadPackage(), readProgram(path));
const { core, clock } = chip;
const line = openLine(chip.uart[0], Number(port), wake);
let asleep = null; // since when, and the timer that ends it

/** An interrupt that is pending ends wfi, masked or not: Armv6-M, B1.5.19. */
function isPending() {
    return core.pendingSystick || (core.pendingInterrupts & core.enabledInterrupts) !== 0;
}

function work() {
    const end = performance.now() + SLICE_MS;
    do {
        line.feed();
        if (core.waiting) {
            if (!isPending()) return sleep();
            core.waiting = false;
        }
        let clocks = 0;
        for (let i = 0; i < PERIOD && !core.waiting; i++) clocks += core.executeInstruction();
        clock.tick(clocks * NANOSECONDS);
    } while (performance.now() < end);
    line.flush();
    setImmediate(work);
}

function sleep() {
    line.flush();
    const timer = setTimeout(wake, clock.nextAlarm ? clock.nanosToNextAlarm / 1e6 : SLICE_MS);
    asleep = { since: performance.now(), timer };
}

function wake() {
    if (!asleep) return;
    clearTimeout(asleep.timer);
    clock.tick((performance.now() - asleep.since) * 1e6);
    asleep = null;
    work();
}

const parent = process.ppid;
setInterval(() => process.ppid === parent || process.exit(), PARENT_MS);
work();
