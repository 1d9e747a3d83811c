import postcss from "postcss";
import type { Plugin } from "vite";

const OF_MANTINE = /\.(m_[0-9a-f]+)/g;

/** Leaves out the styles of Mantine's components that the app does not use: their classes stand in no script. */
export function leaveOutUnusedStyles(): Plugin {
  return {
    name: "leave-out-unused-styles",
    apply: "build",
    enforce: "post",
    generateBundle(_options, bundle) {
      const used = new Set<string>();
      for (const file of Object.values(bundle)) {
        if (file.type === "chunk") for (const [name] of file.code.matchAll(/m_[0-9a-f]+/g)) used.add(name);
      }
      for (const file of Object.values(bundle)) {
        if (file.type === "asset" && file.fileName.endsWith(".css")) file.source = without(String(file.source), used);
      }
    },
  };
}

function without(styles: string, used: ReadonlySet<string>): string {
  const root = postcss.parse(styles);
  root.walkRules((rule) => {
    const kept = rule.selectors.filter((selector) =>
      [...selector.replaceAll(/:not\([^)]*\)/g, "").matchAll(OF_MANTINE)].every(([, name]) => used.has(name ?? "")),
    );
    if (kept.length === 0) rule.remove();
    else if (kept.length < rule.selectors.length) rule.selectors = kept;
  });
  root.walkAtRules("media", (rule) => {
    if (rule.nodes?.length === 0) rule.remove();
  });
  return root.toString();
}
