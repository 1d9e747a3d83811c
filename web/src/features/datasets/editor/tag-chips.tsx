import { Combobox, Group, Pill, PillsInput, Text, TextInput, useCombobox } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useEffect, useRef } from "react";
import { listTagsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { useDraft } from "@/shared/draft";
import { count } from "@/shared/format";
import classes from "./tag-chips.module.css";
import { addTags, formatTags, moveTag, parseTags, removeTag, renameTag, type TagLines } from "./tags";

const OFFERED = 8;

interface Half {
  /** In the field for a new tag. */
  typed: string;
  /** A chip that is being changed, and what it is by now. */
  edited: { line: number; place: number; text: string } | null;
}

const NOTHING: Half = { typed: "", edited: null };

/** A caption as chips. What is offered while typing is only taken when it was chosen with the arrows or the mouse. */
export function TagChips(props: {
  datasetId: string;
  item: string;
  text: string;
  change: (text: string) => void;
  autoFocus?: boolean;
  filter: (tag: string) => void;
}) {
  // A tag that is not finished survives a reload, too; leaving the picture finishes it.
  const half = useDraft<Half>(`tag:${props.datasetId}:${props.item}`, 1, NOTHING);
  const { typed, edited } = half.value;
  const setHalf = (to: Half) => (to.typed === "" && to.edited === null ? half.clear() : half.set(to));
  const setTyped = (text: string) => setHalf({ typed: text, edited: null });
  const setEdited = (to: Half["edited"]) => setHalf({ typed: "", edited: to });
  const combobox = useCombobox({ onDropdownClose: () => combobox.resetSelectedOption() });
  const [wanted] = useDebouncedValue(typed.trim(), 120);
  const lines: TagLines = parseTags(props.text);
  const { data } = useQuery({
    ...listTagsOptions({ path: { dataset_id: props.datasetId }, query: { start: wanted, limit: OFFERED } }),
    enabled: wanted !== "",
    placeholderData: keepPreviousData,
  });
  const there = new Set(lines.flat());
  const offered = typed.trim() === "" ? [] : (data?.tags ?? []).filter((each) => !there.has(each.tag));
  const write = (next: TagLines) => props.change(formatTags(next));

  function add(text: string) {
    if (text.trim()) write(addTags(lines, text));
    setTyped("");
    combobox.closeDropdown();
  }
  function onKeyDown(event: KeyboardEvent<HTMLInputElement>) {
    // Going on to another picture takes along what stands in the field.
    if ((event.ctrlKey || event.metaKey) && ["Enter", "ArrowUp", "ArrowDown"].includes(event.key)) add(typed);
    else if (event.key === "Enter" && combobox.getSelectedOptionIndex() < 0) {
      event.preventDefault();
      add(typed);
    } else if (event.key === "Backspace" && typed === "") {
      const line = lines.length - 1;
      const place = (lines[line]?.length ?? 0) - 1;
      const tag = lines[line]?.[place];
      if (tag === undefined) return;
      event.preventDefault();
      // The last chip becomes text again: nothing is deleted by one key too many.
      write(removeTag(lines, line, place));
      setTyped(tag);
    } else if (event.key === "Escape" && combobox.dropdownOpened) {
      event.stopPropagation();
      combobox.closeDropdown();
    }
  }
  function onChip(event: KeyboardEvent, line: number, place: number) {
    const by = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (event.shiftKey && by !== 0) {
      event.preventDefault();
      event.stopPropagation();
      write(moveTag(lines, line, place, by));
    } else if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      write(removeTag(lines, line, place));
    }
  }
  function rename() {
    if (edited) write(renameTag(lines, edited.line, edited.place, edited.text));
    setEdited(null);
  }
  const finish = useRef(() => {});
  useEffect(() => {
    finish.current = () => {
      if (edited) rename();
      else if (typed.trim()) add(typed);
    };
  });
  useEffect(() => () => finish.current(), []);
  return (
    <Combobox
      store={combobox}
      onOptionSubmit={(tag) => add(tag)}
      position="bottom-start"
      middlewares={{ flip: true, shift: true }}
    >
      <Combobox.DropdownTarget>
        <PillsInput label="Tags" size="sm" classNames={{ input: classes.input }}>
          {lines.map((line, number) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a line is its place
            <Pill.Group key={number} mb={number < lines.length - 1 ? 6 : 0} gap={6}>
              {line.map((tag, place) => {
                // A caption may have a tag twice: its place tells them apart.
                const key = `${place} ${tag}`;
                if (edited?.line === number && edited.place === place) {
                  return (
                    <TextInput
                      key="edited"
                      size="xs"
                      aria-label={`Rename ${tag}`}
                      value={edited.text}
                      autoFocus
                      onChange={(event) => setEdited({ ...edited, text: event.currentTarget.value })}
                      onBlur={rename}
                      onKeyDown={(event) => {
                        if (event.key === "Enter") rename();
                        if (event.key === "Escape") {
                          event.stopPropagation();
                          setEdited(null);
                        }
                      }}
                    />
                  );
                }
                return (
                  <Pill
                    key={key}
                    withRemoveButton
                    onRemove={() => write(removeTag(lines, number, place))}
                    removeButtonProps={{ "aria-label": `Remove ${tag}`, tabIndex: -1 }}
                    className={classes.pill}
                  >
                    <button
                      type="button"
                      className={classes.tag}
                      title="Click to change. Shift and an arrow move it, Del removes it, Alt-click shows pictures with it."
                      aria-label={`Change ${tag}`}
                      onKeyDown={(event) => onChip(event, number, place)}
                      onClick={(event) =>
                        event.altKey ? props.filter(tag) : setEdited({ line: number, place, text: tag })
                      }
                    >
                      {tag}
                    </button>
                  </Pill>
                );
              })}
              {number === lines.length - 1 && (
                <Combobox.EventsTarget>
                  <PillsInput.Field
                    aria-label="Add a tag"
                    placeholder={there.size === 0 ? "Type a tag, then a comma or Enter" : "Add a tag"}
                    value={typed}
                    autoFocus={props.autoFocus}
                    onChange={(event) => {
                      const value = event.currentTarget.value;
                      if (value.includes(",")) return add(value);
                      setTyped(value);
                      combobox.openDropdown();
                      combobox.resetSelectedOption();
                    }}
                    onBlur={() => add(typed)}
                    onKeyDown={onKeyDown}
                    autoComplete="off"
                  />
                </Combobox.EventsTarget>
              )}
            </Pill.Group>
          ))}
        </PillsInput>
      </Combobox.DropdownTarget>
      <Combobox.Dropdown hidden={offered.length === 0}>
        <Combobox.Options aria-label="Tags of this dataset">
          {offered.map((each) => (
            <Combobox.Option key={each.tag} value={each.tag} onMouseDown={(event) => event.preventDefault()}>
              <Group justify="space-between" wrap="nowrap">
                <Text size="sm" truncate>
                  {each.tag}
                </Text>
                <Text size="xs" c="dimmed" className="numbers">
                  {count(each.count)}
                </Text>
              </Group>
            </Combobox.Option>
          ))}
        </Combobox.Options>
      </Combobox.Dropdown>
    </Combobox>
  );
}
