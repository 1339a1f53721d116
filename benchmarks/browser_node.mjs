// node browser_node.mjs ONNXRUNTIME_WEB FILE ONNX: inputs and effort as JSON on standard input, the rounds as JSON on standard output.

import { readFileSync } from "node:fs";
import { argv, exit } from "node:process";
import { pathToFileURL } from "node:url";

import { load } from "../web/index.js";
import { alone, rounds } from "./browser_rounds.mjs";

const [, , folder, file, onnx] = argv;
const ort = await import(pathToFileURL(`${folder}/dist/ort.wasm.bundle.min.mjs`).href);
const { inputs, effort } = JSON.parse(readFileSync(0, "utf8"));
const found = await rounds(await load(file), ort, new Uint8Array(readFileSync(onnx)), inputs, effort);
const few = { ...effort, rounds: Math.ceil(effort.rounds / 4) };
const compiled = await alone(await load(file), inputs, few);
const plain = await alone(await load(file, { backend: "javascript" }), inputs, few);
console.log(JSON.stringify({ ...found, account: compiled.account, plain: plain.fastest }));
exit(0); // onnxruntime-web keeps the process
