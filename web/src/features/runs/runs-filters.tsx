import { CloseButton, Group, Select, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { Search } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { RunList } from "@/api/generated/types.gen";
import { useShortcut } from "@/shared/shortcuts";
import { KINDS, type RunsSearch } from "./search";

interface Props {
  search: RunsSearch;
  onChange: (change: RunsSearch) => void;
  list: RunList | undefined;
}

export function RunsFilters({ search, onChange, list }: Props) {
  const field = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(search.q ?? "");
  const send = useDebouncedCallback((q: string) => onChange({ q: q || undefined }), 200);
  // The back button changes the address and not what was typed.
  useEffect(() => setText(search.q ?? ""), [search.q]);
  useShortcut("/", "Search the runs", () => field.current?.focus(), { group: "Runs" });
  const type = (q: string) => {
    setText(q);
    send(q);
  };
  const tags = Object.entries(list?.tags ?? {});
  return (
    <Group gap="sm">
      <TextInput
        ref={field}
        flex="1 1 16rem"
        maw="26rem"
        aria-label="Search runs"
        placeholder="Search names, models, notes, tags"
        leftSection={<Search size={16} aria-hidden />}
        rightSection={text && <CloseButton size="sm" aria-label="Clear the search" onClick={() => type("")} />}
        value={text}
        onChange={(event) => type(event.currentTarget.value)}
      />
      <Select
        w="11rem"
        aria-label="State"
        placeholder="All states"
        clearable
        clearButtonProps={{ "aria-label": "All states" }}
        value={search.state ?? null}
        onChange={(state) => onChange({ state: state ?? undefined })}
        data={Object.entries(KINDS).map(([value, { label, states }]) => {
          const count = states.reduce((sum, state) => sum + (list?.states[state] ?? 0), 0);
          return { value, label: list ? `${label} (${count})` : label };
        })}
      />
      {(tags.length > 0 || search.tag) && (
        <Select
          w="11rem"
          aria-label="Tag"
          placeholder="All tags"
          clearable
          clearButtonProps={{ "aria-label": "All tags" }}
          value={search.tag ?? null}
          onChange={(tag) => onChange({ tag: tag ?? undefined })}
          data={tags.map(([tag, count]) => ({ value: tag, label: `${tag} (${count})` }))}
        />
      )}
    </Group>
  );
}
