// Compiles kernels.c and writes kernels_wasm.js: node web/runtime/build.mjs [FILE]
// It needs clang and lld (Debian: apt-get install clang lld). FILE: where to write; kernels_wasm.js beside this file unless told.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "kernels-"));
try {
  const made = join(folder, "kernels.wasm");
  const link = ["--no-entry", "--import-memory", "--strip-all", "-z,stack-size=8192"].map((option) => `-Wl,${option}`);
  const options = ["--target=wasm32", "-Os", "-msimd128", "-mbulk-memory", "-nostdlib", "-ffreestanding", "-Wall", "-Werror"];
  const clang = process.env.CLANG ?? "clang";
  execFileSync(clang, [...options, ...link, "-o", made, "kernels.c"], { cwd: here, stdio: "inherit" });
  const bytes = readFileSync(made);
  const text = deflateRawSync(bytes, { level: 9 }).toString("base64");
  const compiler = execFileSync(clang, ["--version"], { encoding: "utf8" }).split("\n")[0];
  writeFileSync(
    process.argv[2] ?? join(here, "kernels_wasm.js"),
    `// Made from kernels.c by build.mjs, with ${compiler}: the module, deflated, in base64.\n\n` +
      `export const LENGTH = ${bytes.length}; // inflated\nexport const KERNELS =\n  "${text}";\n`,
  );
} finally {
  rmSync(folder, { recursive: true });
}
