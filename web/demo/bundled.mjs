// A module of a page with all that it imports, as small text: for build.mjs of this folder and of web/complete.

import { build } from "esbuild";
import { minify } from "terser";

/** Properties that only the runtime's own classes have, which may get short names: none is one of a file, a message or a browser. */
export const OWN =
  "advance afford attribute copies counted fault finish foretold heldTensors lasting missing outside packed planCount planned " +
  "readers scratch scratches sensible signed sized spend statics varint";

/**
 * The code of a module and of what it imports.
 *
 * @param {string} entry the module's file
 * @param {Record<string, string>} leftOut what stands in the place of modules, by the ends of their paths, without ".js"
 * @param {string} own properties that get short names, with spaces between
 */
export async function bundled(entry, leftOut, own = "") {
  const standing = {
    name: "left out",
    setup({ onLoad }) {
      for (const [name, contents] of Object.entries(leftOut)) onLoad({ filter: new RegExp(`/${name}\\.js$`) }, () => ({ contents }));
    },
  };
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    external: ["node:*"],
    plugins: [standing],
  });
  const compress = { keep_fargs: false, pure_getters: true, unsafe_arrows: true, unsafe_methods: true };
  const mangle = own ? { properties: { regex: new RegExp(`^(${own.replaceAll(" ", "|")})$`) } } : true;
  const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2020, compress, mangle });
  return code;
}

/** A style sheet as small text. */
export async function styled(file) {
  const { outputFiles } = await build({ entryPoints: [file], minify: true, write: false });
  return outputFiles[0].text;
}
