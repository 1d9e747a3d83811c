import { useDebouncedCallback } from "@mantine/hooks";
import { useCallback, useEffect, useRef, useState } from "react";
import { useStore } from "zustand";
import { checkConfigDraft, writeConfigYaml } from "@/api/generated/sdk.gen";
import type { Form } from "@/forms/form";
import { isPlain, isSame, type Plain } from "@/forms/paths";
import { readDraft, writeDraft } from "@/shared/draft";
import type { FindingOut } from "./use-server-says";
import { rewritten } from "./yaml-text";

const VERSION = 2;
const SOON_MS = 350;

interface Kept {
  readonly text: string;
  /** What it says; null while it cannot be read. */
  readonly data: Plain | null;
}

export interface Yaml {
  readonly text: string | null;
  readonly findings: readonly FindingOut[];
  readonly error: unknown;
  /** The text cannot be read, so that the form says what the draft is. */
  readonly isBroken: boolean;
  readonly type: (text: string) => void;
  readonly writeAnew: () => void;
}

/** The draft as text: each follows the other, and a text that cannot be read yet is kept as it was typed. */
export function useYaml(form: Form, draft: string): Yaml {
  const name = `train-yaml:${draft}`;
  const data = useStore(form.store, (state) => state.data);
  const kept = useRef<Kept | null>(null);
  const [text, setText] = useState<string | null>(null);
  const [findings, setFindings] = useState<readonly FindingOut[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [isBroken, setBroken] = useState(false);
  const asked = useRef(0);
  const keep = useCallback(
    (next: Kept) => {
      kept.current = next;
      setText(next.text);
      writeDraft(name, VERSION, next);
    },
    [name],
  );

  /** What was typed becomes the draft, as soon as it says something. */
  const read = useCallback(
    async (typed: string) => {
      asked.current += 1;
      const mine = asked.current;
      try {
        const { data: said } = await checkConfigDraft({ body: { text: typed } });
        if (mine !== asked.current) return;
        setError(null);
        setFindings(said.findings);
        const found = isPlain(said.data) ? said.data : null;
        keep({ text: typed, data: found });
        setBroken(found === null);
        if (found) form.replace(found);
      } catch (thrown) {
        if (mine === asked.current) setError(thrown);
      }
    },
    [form, keep],
  );
  const readSoon = useDebouncedCallback((typed: string) => void read(typed), SOON_MS);

  /** The form changed: the text follows, with its comments where it can. */
  const follow = useCallback(
    async (to: Plain) => {
      asked.current += 1;
      const mine = asked.current;
      try {
        const before = kept.current;
        const own = before?.data ? rewritten(before.text, before.data, to) : null;
        const checked = own === null ? null : (await checkConfigDraft({ body: { text: own } })).data;
        const fits = own !== null && checked !== null && isSame(checked.data, to);
        const next = fits ? own : (await writeConfigYaml({ body: { data: { ...to } } })).data.text;
        const said = fits ? checked : (await checkConfigDraft({ body: { text: next } })).data;
        if (mine !== asked.current) return;
        setError(null);
        setFindings(said.findings);
        setBroken(false);
        keep({ text: next, data: to });
      } catch (thrown) {
        if (mine === asked.current) setError(thrown);
      }
    },
    [keep],
  );

  // biome-ignore lint/correctness/useExhaustiveDependencies: what was kept is looked at once for each draft
  useEffect(() => {
    const found = readDraft<Kept>(name, VERSION) ?? null;
    kept.current = found;
    if (found && (found.data === null || isSame(found.data, form.state.data))) {
      setText(found.text);
      void read(found.text);
    } else void follow(form.state.data);
  }, [name]);
  useEffect(() => {
    const now = kept.current;
    if (now?.data && !isSame(now.data, data)) void follow(data);
  }, [data, follow]);

  return {
    text,
    findings,
    error,
    isBroken,
    type: (typed) => {
      asked.current += 1;
      // Not what it says, until it was read.
      kept.current = { text: typed, data: null };
      setText(typed);
      writeDraft(name, VERSION, kept.current);
      readSoon(typed);
    },
    writeAnew: () => {
      kept.current = null;
      void follow(form.state.data);
    },
  };
}
