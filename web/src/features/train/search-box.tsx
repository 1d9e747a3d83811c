import { Combobox, Group, Kbd, Text, TextInput, useCombobox } from "@mantine/core";
import { Search } from "lucide-react";
import { useMemo, useRef, useState } from "react";
import type { FormModel } from "@/forms/fields";
import type { Form } from "@/forms/form";
import { find } from "@/forms/search";
import { useShortcut } from "@/shared/shortcuts";

/** Two letters find a parameter; Enter leads to it. */
export function SearchBox(props: { model: FormModel; form: Form; jump: (path: string) => void }) {
  const [typed, setTyped] = useState("");
  const input = useRef<HTMLInputElement>(null);
  const combobox = useCombobox({ onDropdownClose: () => combobox.resetSelectedOption() });
  const hits = useMemo(() => find(props.model, typed), [props.model, typed]);
  useShortcut("/", "Find a setting", () => input.current?.focus(), { group: "Train" });
  const isAsked = typed.trim().length >= 2;
  return (
    <Combobox
      store={combobox}
      onOptionSubmit={(pattern) => {
        combobox.closeDropdown();
        setTyped("");
        props.jump(pattern);
      }}
      width="max(100%, min(30rem, 90vw))"
      position="bottom-start"
    >
      <Combobox.Target>
        <TextInput
          ref={input}
          value={typed}
          onChange={(event) => {
            setTyped(event.currentTarget.value);
            combobox.openDropdown();
            combobox.selectFirstOption();
          }}
          onFocus={() => isAsked && combobox.openDropdown()}
          onBlur={() => combobox.closeDropdown()}
          onKeyDown={(event) => {
            if (event.key === "Escape" && typed) {
              event.stopPropagation();
              setTyped("");
            }
          }}
          aria-label="Find a setting"
          placeholder="Find a setting, also by its kohya name"
          leftSection={<Search size={16} aria-hidden />}
          rightSection={<Kbd size="xs">/</Kbd>}
          flex="1 1 16rem"
          maw="28rem"
        />
      </Combobox.Target>
      <Combobox.Dropdown hidden={!isAsked}>
        <Combobox.Options mah={360} style={{ overflowY: "auto" }} aria-label="Found settings">
          {hits.map(({ field, by }, i) => (
            <Combobox.Option key={field.pattern} value={field.pattern} selected={i === 0}>
              <Group justify="space-between" wrap="nowrap" gap="sm">
                <Text size="sm">{field.label}</Text>
                <Text size="xs" c="dimmed" ta="right">
                  {by ? `${by} · ` : ""}
                  {field.facts.tab}, {field.facts.group}
                </Text>
              </Group>
            </Combobox.Option>
          ))}
          {hits.length === 0 && <Combobox.Empty>No setting is called so, and no help speaks of it.</Combobox.Empty>}
        </Combobox.Options>
      </Combobox.Dropdown>
    </Combobox>
  );
}
