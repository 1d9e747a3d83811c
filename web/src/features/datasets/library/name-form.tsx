import { Button, Group, Stack, TextInput } from "@mantine/core";
import { type FormEvent, type ReactNode, useState } from "react";
import { problemOf } from "@/api/problem";

/** Asks for a dataset's name; what the server has against it stands at the field. */
export function NameForm(props: {
  start?: string;
  submit: string;
  description?: string;
  isPending: boolean;
  error: unknown;
  children?: ReactNode;
  done: (name: string) => void;
}) {
  const [name, setName] = useState(props.start ?? "");
  function send(event: FormEvent) {
    event.preventDefault();
    if (name.trim()) props.done(name.trim());
  }
  return (
    <form onSubmit={send}>
      <Stack>
        <TextInput
          label="Name"
          description={props.description}
          placeholder="my-dog"
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          error={props.error ? problemOf(props.error).message : undefined}
          data-autofocus
          autoComplete="off"
        />
        {props.children}
        <Group justify="flex-end">
          <Button type="submit" loading={props.isPending} disabled={!name.trim()}>
            {props.submit}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
