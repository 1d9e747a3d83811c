import { Center } from "@mantine/core";
import { ImageOff } from "lucide-react";
import { useState } from "react";
import { type ThumbSize, thumbnailUrl } from "./addresses";
import classes from "./thumb.module.css";

/** A picture's thumbnail in a box that has its size before the picture is there. */
export function Thumb(props: {
  datasetId: string;
  item: string;
  stamp?: string;
  size: ThumbSize;
  alt?: string;
  fit?: "cover" | "contain";
}) {
  const address = thumbnailUrl(props.datasetId, props.item, props.size, props.stamp);
  const [failed, setFailed] = useState<string | null>(null);
  if (failed === address) {
    return (
      <Center className={classes.box} role="img" aria-label={`${props.item} cannot be shown`}>
        <ImageOff size={20} aria-hidden />
      </Center>
    );
  }
  return (
    <img
      className={classes.box}
      style={{ objectFit: props.fit ?? "cover" }}
      src={address}
      alt={props.alt ?? ""}
      decoding="async"
      draggable={false}
      onError={() => setFailed(address)}
    />
  );
}
