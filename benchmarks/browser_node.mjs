// node browser_node.mjs ONNXRUNTIME_WEB FILE ONNX: inputs and effort as JSON on standard input, the rounds as JSON on standard output.

import { readFileSync } from "node:fs";
import { argv, exit } from "node:process";
import { pathToFileURL } from "node:url";

import { load } from "../web/index.js";
import { rounds } from "./browser_rounds.mjs";

const [, , folder, file, onnx] = argv;
const ort = await import(pathToFileURL(`${folder}/dist/ort.wasm.bundle.min.mjs`).href);
const { inputs, effort } = JSON.parse(readFileSync(0, "utf8"));
const model = await load(file);
console.log(JSON.stringify(await rounds(model, ort, new Uint8Array(readFileSync(onnx)), inputs, effort)));
exit(0); // onnxruntime-web keeps the process
