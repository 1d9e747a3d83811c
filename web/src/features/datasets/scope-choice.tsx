import { Group, Radio } from "@mantine/core";
import { useState } from "react";
import { plural } from "@/shared/format";

export type Scope = "all" | "query" | "chosen";

/** Which pictures something is done to: what there is nothing of cannot be chosen. */
export function useScope(query: string, chosen: ReadonlySet<string>) {
  const [wanted, setScope] = useState<Scope>(chosen.size > 0 ? "chosen" : query ? "query" : "all");
  const isThere = wanted === "all" || (wanted === "chosen" ? chosen.size > 0 : query !== "");
  const scope = isThere ? wanted : "all";
  /** As the server is asked. */
  const asked = scope === "chosen" ? { items: [...chosen] } : { query: scope === "query" ? query : "" };
  return { scope, setScope, asked };
}

export function ScopeChoice(props: {
  label: string;
  scope: Scope;
  setScope: (scope: Scope) => void;
  query: string;
  chosen: number;
  total: number;
}) {
  const { query, chosen } = props;
  return (
    <Radio.Group value={props.scope} onChange={(value) => props.setScope(value as Scope)} label={props.label}>
      <Group mt={6}>
        <Radio value="all" label={`All ${plural(props.total, "picture")}`} />
        <Radio value="query" label={query ? `Those found by ${query}` : "Those a search finds"} disabled={!query} />
        <Radio
          value="chosen"
          label={chosen > 0 ? `The ${plural(chosen, "chosen picture")}` : "Chosen pictures"}
          disabled={chosen === 0}
        />
      </Group>
    </Radio.Group>
  );
}
