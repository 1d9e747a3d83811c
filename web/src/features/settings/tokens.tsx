import { Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { listTokensOptions } from "@/api/generated/@tanstack/react-query.gen";
import { Section } from "@/shared/section";
import { RowSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";
import { TokenRow } from "./token-row";

/** Tokens of other services: written, and never shown again. */
export function Tokens() {
  const { data, error, refetch } = useQuery(listTokensOptions());
  return (
    <Section
      title="Tokens of other services"
      about="Kept in a file that only you can read, never shown again, and left out of configs, logs and exports."
    >
      {data ? (
        <Stack gap="lg">
          {data.map((token) => (
            <TokenRow key={token.name} token={token} />
          ))}
        </Stack>
      ) : error ? (
        <Failed error={error} again={refetch} />
      ) : (
        <RowSkeletons what="the tokens" rows={3} height={64} />
      )}
    </Section>
  );
}
