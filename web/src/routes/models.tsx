import { Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { createLazyRoute } from "@tanstack/react-router";
import { listModelsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { Architectures } from "@/features/models/architectures";
import { ModelList } from "@/features/models/model-list";
import { ButtonLink } from "@/shared/links";
import { PageHead } from "@/shared/page-head";

export const Route = createLazyRoute("/models")({ component: Models });

function Models() {
  const search = Route.useSearch();
  const navigate = Route.useNavigate();
  // Nothing below a list whose length is not known yet: it would jump.
  const { isPending } = useQuery(listModelsOptions());
  const folders = (
    <ButtonLink to="/settings" search={{ tab: "paths" }} variant="default">
      Add a folder
    </ButtonLink>
  );
  return (
    <Stack gap="lg">
      <PageHead title="Models" about="Weights on this machine, as their headers describe them." actions={folders} />
      <ModelList
        q={search.q ?? ""}
        kind={search.kind}
        onChange={(next) => void navigate({ search: { q: next.q || undefined, kind: next.kind }, replace: true })}
        foldersLink={folders}
      />
      {!isPending && <Architectures />}
    </Stack>
  );
}
