import { keepPreviousData, useQueries, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";
import type { PictureOut } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";
import { type Asked, PAGE, pageOf } from "./pictures-page";

/** The pictures that a query finds, of which only the pages that are looked at are asked for. */
export function usePictures(datasetId: string, wanted: Asked) {
  const checked = useQuery({ ...pageOf(datasetId, wanted, 0), placeholderData: keepPreviousData });
  // A query with a mistake in it finds nothing: the pictures stay until it is mended.
  const isWrong = checked.error !== null && problemOf(checked.error).code === "query";
  const [good, setGood] = useState<Asked>({ ...wanted, query: "" });
  const isGood = checked.isSuccess && !checked.isPlaceholderData;
  useEffect(() => {
    if (isGood) setGood(wanted);
  }, [isGood, wanted]);
  const asked = isWrong ? good : wanted;
  const [seen, setSeen] = useState({ first: 0, last: 0 });
  const page = useCallback((number: number) => pageOf(datasetId, asked, number), [datasetId, asked]);
  // The first page tells how many there are; while another query is worked out, the old pictures stay.
  const first = useQuery({ ...page(0), placeholderData: keepPreviousData });
  const total = first.data?.total ?? 0;
  const numbers = useMemo(() => {
    const from = Math.max(1, Math.floor(seen.first / PAGE));
    const to = Math.min(Math.ceil(total / PAGE) - 1, Math.floor(seen.last / PAGE));
    return Array.from({ length: Math.max(0, to - from + 1) }, (_, place) => from + place);
  }, [seen, total]);
  const others = useQueries({ queries: numbers.map((number) => ({ ...page(number), staleTime: 30_000 })) });

  function picture(place: number): PictureOut | undefined {
    const number = Math.floor(place / PAGE);
    const found = number === 0 ? first.data : others[numbers.indexOf(number)]?.data;
    return found?.pictures[place - number * PAGE];
  }
  const look = useCallback((firstSeen: number, lastSeen: number) => {
    setSeen((before) => {
      // Whole pages only: a step of the wheel changes nothing.
      const same = Math.floor(before.first / PAGE) === Math.floor(firstSeen / PAGE);
      return same && Math.floor(before.last / PAGE) === Math.floor(lastSeen / PAGE)
        ? before
        : { first: firstSeen, last: lastSeen };
    });
  }, []);
  return { total, picture, look, first, wrong: isWrong ? checked.error : null };
}
