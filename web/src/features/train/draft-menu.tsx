import { ActionIcon, Button, Group, Menu, Text, Tooltip } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { ChevronDown, FileDown, FileUp, Plus, Redo2, SlidersHorizontal, Trash2, Undo2 } from "lucide-react";
import { useStore } from "zustand";
import type { Form } from "@/forms/form";
import { ago } from "@/shared/format";
import { addDraft, currentId, deleteDraft, openDraft, useDrafts } from "./drafts";
import { ExportDialog } from "./export-dialog";
import { ImportDialog } from "./import-dialog";
import { PresetDialog } from "./preset-dialog";

/** The drafts, steps back and forth, presets, and other programs' files. */
export function DraftMenu({ form, go }: { form: Form; go: (mode: "guided" | "all") => void }) {
  const list = useDrafts((state) => state.list);
  const id = useDrafts(currentId);
  const canUndo = useStore(form.store, (state) => state.past.length > 0);
  const canRedo = useStore(form.store, (state) => state.future.length > 0);
  const name = useStore(form.store, (state) => state.data.name);
  const [importing, imports] = useDisclosure(false);
  const [exporting, exports] = useDisclosure(false);
  const [choosing, presets] = useDisclosure(false);
  const tools = [
    { label: "Undo", icon: Undo2, act: () => form.undo(), enabled: canUndo },
    { label: "Redo", icon: Redo2, act: () => form.redo(), enabled: canRedo },
  ];
  return (
    <>
      <Group gap={4}>
        {tools.map(({ label, icon: Icon, act, enabled }) => (
          <Tooltip key={label} label={label}>
            <ActionIcon variant="subtle" color="gray" size={36} aria-label={label} disabled={!enabled} onClick={act}>
              <Icon size={18} aria-hidden />
            </ActionIcon>
          </Tooltip>
        ))}
      </Group>
      <Button variant="default" leftSection={<SlidersHorizontal size={16} aria-hidden />} onClick={presets.open}>
        Presets
      </Button>
      <Menu position="bottom-end" width={300}>
        <Menu.Target>
          <Button variant="default" rightSection={<ChevronDown size={16} aria-hidden />} maw="14rem">
            {typeof name === "string" && name ? name : "New draft"}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<Plus size={16} aria-hidden />} onClick={() => addDraft()}>
            New draft
          </Menu.Item>
          <Menu.Item leftSection={<FileUp size={16} aria-hidden />} onClick={imports.open}>
            Import a file
          </Menu.Item>
          <Menu.Item leftSection={<FileDown size={16} aria-hidden />} onClick={exports.open}>
            Export
          </Menu.Item>
          <Menu.Item leftSection={<Trash2 size={16} aria-hidden />} onClick={() => remove(id, name)}>
            Delete this draft
          </Menu.Item>
          <Menu.Divider />
          <Menu.Label>Drafts, kept in this browser</Menu.Label>
          {list.map((each) => (
            <Menu.Item key={each.id} onClick={() => openDraft(each.id)} aria-current={each.id === id || undefined}>
              <Group justify="space-between" wrap="nowrap">
                <Text size="sm" fw={each.id === id ? 650 : 400} truncate>
                  {each.name || "Without a name"}
                </Text>
                <Text size="xs" c="dimmed" style={{ flex: "none" }} className="numbers">
                  {ago(new Date(each.changed).toISOString())}
                </Text>
              </Group>
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
      <ImportDialog opened={importing} close={imports.close} imported={() => go("all")} />
      <ExportDialog opened={exporting} close={exports.close} form={form} />
      <PresetDialog opened={choosing} close={presets.close} form={form} />
    </>
  );
}

function remove(id: string, name: unknown): void {
  const takeBack = deleteDraft(id);
  const toast = notifications.show({
    title: "The draft is deleted",
    autoClose: 10_000,
    message: (
      <Group justify="space-between" gap="sm">
        <Text size="sm" inherit>
          {typeof name === "string" && name ? name : "Without a name"}
        </Text>
        <Button
          size="compact-sm"
          variant="light"
          onClick={() => {
            notifications.hide(toast);
            takeBack();
          }}
        >
          Undo
        </Button>
      </Group>
    ),
  });
}
