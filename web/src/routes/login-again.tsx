import { Button, Group, Modal, PasswordInput, Stack, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { logInMutation } from "@/api/generated/@tanstack/react-query.gen";
import { problemOf } from "@/api/problem";
import { useSession } from "@/api/session";

/** Asks for the token again, above the page that somebody works with: a session ends after some days. */
export function LoginAgain() {
  const { hasEnded } = useSession();
  const queries = useQueryClient();
  const [token, setToken] = useState("");
  const login = useMutation({
    ...logInMutation(),
    meta: { tellsItself: true },
    onSuccess: () => {
      setToken("");
      useSession.setState({ hasEnded: false });
      void queries.invalidateQueries();
      // Whoever waits to try again does it now.
      window.dispatchEvent(new Event("online"));
    },
  });
  const send = (event: FormEvent) => {
    event.preventDefault();
    login.mutate({ body: { token: token.trim() } });
  };
  return (
    <Modal opened={hasEnded} onClose={() => useSession.setState({ hasEnded: false })} title="Log in again" centered>
      <form onSubmit={send}>
        <Stack gap="md">
          <Text size="sm">The server asks for its token. What you typed is kept; the page goes on after it.</Text>
          <PasswordInput
            label="Token"
            description="It is in the address that `loratory serve` printed, or is the one of LORATORY_TOKEN."
            value={token}
            onChange={(event) => setToken(event.currentTarget.value)}
            error={login.error ? problemOf(login.error).message : undefined}
            autoComplete="current-password"
            inputWrapperOrder={["label", "input", "error", "description"]}
            data-autofocus
          />
          <Group justify="flex-end">
            <Button type="submit" disabled={!token.trim()} loading={login.isPending}>
              Log in
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
