import type { SpotlightActionData } from "@mantine/spotlight";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { SlidersHorizontal } from "lucide-react";
import { useMemo } from "react";
import { getConfigSchemaOptions } from "@/api/generated/@tanstack/react-query.gen";
import { NAMES, TABS } from "@/features/train/names";
import { modelOf } from "@/forms/fields";
import type { Root } from "@/forms/schema";
import { find } from "@/forms/search";

const SHOWN = 6;

/** Parameters of a training that two letters find, by the names of other trainers, too. */
export function useFieldActions(isOpen: boolean, query: string): { group: string; actions: SpotlightActionData[] } {
  const navigate = useNavigate();
  const { data } = useQuery({ ...getConfigSchemaOptions(), staleTime: Number.POSITIVE_INFINITY, enabled: isOpen });
  const model = useMemo(() => (data ? modelOf(data as unknown as Root, TABS, NAMES) : null), [data]);
  const hits = useMemo(() => (model ? find(model, query, SHOWN) : []), [model, query]);
  return {
    group: "Settings of a training",
    actions: hits.map(({ field, by }) => ({
      id: `field ${field.pattern}`,
      label: field.label,
      description: [by, `${field.facts.tab}, ${field.facts.group}`].filter(Boolean).join(" · "),
      leftSection: <SlidersHorizontal size={18} />,
      onClick: () => void navigate({ to: "/train", search: { mode: "all", field: field.pattern } }),
    })),
  };
}
