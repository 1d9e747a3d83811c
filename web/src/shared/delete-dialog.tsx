import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { modals } from "@mantine/modals";
import { notifications } from "@mantine/notifications";
import { useState } from "react";
import { restoreTrash } from "@/api/generated/sdk.gen";
import { problemOf } from "@/api/problem";
import { bytes as bytesText } from "./format";

export interface Deletion {
  /** "the run dog-1", "3 pictures". */
  what: string;
  /** What goes with it, and what does not; where that is not plain. */
  about?: string;
  bytes?: number | null;
  /** Deletes it; gives the ids in the trash, so that it can be taken back, or nothing where it cannot. */
  remove: () => Promise<readonly (string | null)[] | undefined>;
  /** After it was taken back. */
  onRestored?: () => void;
}

/** Asks before something goes to the trash, and offers to take it back afterwards. */
export function askDelete(deletion: Deletion): void {
  const id = modals.open({
    title: `Delete ${deletion.what}?`,
    centered: true,
    children: <Question {...deletion} close={() => modals.close(id)} />,
  });
}

function Question(props: Deletion & { close: () => void }) {
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const size = props.bytes == null ? "It goes" : `${bytesText(props.bytes)} go`;
  const remove = async () => {
    setBusy(true);
    setError(null);
    try {
      const ids = await props.remove();
      props.close();
      tell(props, ids?.filter((id) => id !== null) ?? []);
    } catch (thrown) {
      setError(thrown);
      setBusy(false);
    }
  };
  return (
    <Stack gap="md">
      <Text size="sm">
        {size} to the trash, from where Settings can restore it. {props.about}
      </Text>
      {error !== null && (
        <Alert color="red" title="It was not deleted">
          {problemOf(error).message}
        </Alert>
      )}
      <Group justify="flex-end">
        <Button variant="default" onClick={props.close} data-autofocus>
          Keep
        </Button>
        <Button color="red.9" onClick={remove} loading={isBusy}>
          Move to the trash
        </Button>
      </Group>
    </Stack>
  );
}

function tell(deletion: Deletion, ids: string[]): void {
  const toast = notifications.show({
    title: "Moved to the trash",
    autoClose: 10_000,
    message: (
      <Group justify="space-between" gap="sm">
        <Text size="sm" inherit>
          {capital(deletion.what)}
        </Text>
        {ids.length > 0 && (
          <Button size="compact-sm" variant="light" onClick={() => undo(deletion, ids, toast)}>
            Undo
          </Button>
        )}
      </Group>
    ),
  });
}

async function undo(deletion: Deletion, ids: string[], toast: string): Promise<void> {
  notifications.hide(toast);
  try {
    for (const trash_id of ids) await restoreTrash({ path: { trash_id } });
    notifications.show({ title: "Restored", message: capital(deletion.what) });
  } catch (error) {
    notifications.show({ color: "red", title: "This was not restored", message: problemOf(error).message });
  }
  deletion.onRestored?.();
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
