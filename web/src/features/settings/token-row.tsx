import { Anchor, Button, Group, PasswordInput, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { listTokensQueryKey, removeTokenMutation, setTokenMutation } from "@/api/generated/@tanstack/react-query.gen";
import type { TokenFact } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";

const SERVICES: Record<string, { title: string; about: string; url: string }> = {
  HF_TOKEN: {
    title: "Hugging Face",
    about: "For models whose licence must be accepted, and for your own private ones.",
    url: "https://huggingface.co/settings/tokens",
  },
  CIVITAI_API_KEY: { title: "Civitai", about: "For downloads from Civitai.", url: "https://civitai.com/user/account" },
  WANDB_API_KEY: {
    title: "Weights & Biases",
    about: "For runs that are logged there as well.",
    url: "https://wandb.ai/authorize",
  },
};

/** One token: is it set, from where, and a field for a new one. */
export function TokenRow(props: { token: TokenFact }) {
  const { name, is_set, source } = props.token;
  const service = SERVICES[name] ?? { title: name, about: "", url: "" };
  const [value, setValue] = useState("");
  const queries = useQueryClient();
  const onSuccess = (answer: TokenFact[]) => {
    queries.setQueryData(listTokensQueryKey(), answer);
    setValue("");
  };
  const set = useMutation({ ...setTokenMutation(), meta: { tellsItself: true }, onSuccess });
  const remove = useMutation({ ...removeTokenMutation(), onSuccess });
  const fromOutside = source === "environment";
  const save = (event: FormEvent) => {
    event.preventDefault();
    set.mutate(
      { path: { name }, body: { value: value.trim() } },
      { onSuccess: () => notifications.show({ title: "Kept", message: `The token of ${service.title} is set.` }) },
    );
  };
  return (
    <form onSubmit={save}>
      <Group gap="sm" align="flex-start">
        <PasswordInput
          label={service.title}
          description={
            <Text span inherit>
              {service.about}{" "}
              {service.url && (
                <Anchor href={service.url} target="_blank" rel="noreferrer" underline="always" inherit>
                  Where to get one
                </Anchor>
              )}
            </Text>
          }
          value={value}
          onChange={(event) => {
            setValue(event.currentTarget.value);
            set.reset();
          }}
          placeholder={
            fromOutside ? `Set by the variable ${name}` : is_set ? "Set. Type a new one to replace it" : "Not set"
          }
          error={set.error ? problemOf(set.error).message : undefined}
          autoComplete="off"
          disabled={fromOutside}
          flex="1 1 16rem"
          maw="32rem"
          inputWrapperOrder={["label", "input", "error", "description"]}
        />
        <Group gap="sm" mt={{ xs: "1.5625rem" }}>
          <Button type="submit" variant="default" disabled={!value.trim()} loading={set.isPending}>
            Save
          </Button>
          {source === "kept" && (
            <Button
              variant="subtle"
              color="red"
              loading={remove.isPending}
              onClick={() => remove.mutate({ path: { name } })}
              aria-label={`Remove the token of ${service.title}`}
            >
              Remove
            </Button>
          )}
        </Group>
      </Group>
    </form>
  );
}
