import { Alert, Button, Group, NumberInput, Stack, Switch, Text } from "@mantine/core";
import { modals } from "@mantine/modals";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { logOutMutation, whoAmIOptions } from "@/api/generated/@tanstack/react-query.gen";
import { problemOf } from "@/api/problem";
import { Section } from "@/shared/section";
import { RowSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";
import { useSettings } from "./use-settings";

const HOW = {
  open: "You were let in without a token, because this browser runs on the machine of the server.",
  cookie: "This browser has logged in with the token.",
  bearer: "This program shows the token with each request.",
  none: "You are not logged in.",
};

/** Who must show the token, and how this browser was let in. */
export function Access() {
  const { query, save, error, isSaving } = useSettings();
  const { data: visitor } = useQuery(whoAmIOptions());
  const leave = useMutation({ ...logOutMutation(), onSuccess: () => window.location.reload() });
  const access = query.data?.settings.access;
  const [days, setDays] = useState<number | string>("");
  useEffect(() => setDays(access?.session_days ?? ""), [access?.session_days]);
  if (query.error && !query.data) return <Failed error={query.error} again={query.refetch} />;
  if (!query.data) return <RowSkeletons what="the settings" rows={2} height={96} />;
  const asks = access?.ask_on_this_machine ?? false;
  const turn = (on: boolean) =>
    save((before) => ({ ...before, access: { ...before.access, ask_on_this_machine: on } }));
  const askFirst = () =>
    modals.openConfirmModal({
      title: "Ask for the token here, too?",
      centered: true,
      labels: { confirm: "Ask for it", cancel: "Leave it" },
      children: (
        <Text size="sm">
          The next page you open asks for the token. `loratory serve` prints it when it starts; have it at hand.
        </Text>
      ),
      onConfirm: () => turn(true),
    });
  const keepDays = () => {
    if (typeof days === "number" && days !== access?.session_days) {
      save((before) => ({ ...before, access: { ...before.access, session_days: days } }));
    }
  };
  return (
    <Stack gap="lg">
      <Section title="This browser">
        <Text size="sm">{visitor ? HOW[visitor.how] : "…"}</Text>
        {visitor?.how === "cookie" && (
          <Group>
            <Button variant="default" loading={leave.isPending} onClick={() => leave.mutate({})}>
              Log out
            </Button>
          </Group>
        )}
      </Section>
      <Section title="Who must show the token" about="Whoever comes from another machine always must.">
        <Switch
          checked={asks}
          onChange={() => (asks ? turn(false) : askFirst())}
          disabled={isSaving}
          label="Ask on this machine, too"
          description="For machines where other people have accounts: they could come in."
        />
        <NumberInput
          label="Days that a browser stays logged in"
          value={days}
          onChange={setDays}
          onBlur={keepDays}
          onKeyDown={(event) => event.key === "Enter" && keepDays()}
          min={1}
          max={365}
          allowDecimal={false}
          maw="16rem"
        />
        {error !== null && (
          <Alert color="red" title="This was not kept">
            {problemOf(error).message}
          </Alert>
        )}
      </Section>
    </Stack>
  );
}
