import { Center } from "@mantine/core";
import { ImageOff } from "lucide-react";
import { useState } from "react";
import classes from "./picture.module.css";

/** A picture in a frame of a fixed shape, so that nothing moves when it comes; a quiet sign where there is none. */
export function Picture(props: { src: string | null; alt: string; ratio?: string; fit?: "cover" | "contain" }) {
  const [broken, setBroken] = useState<string | null>(null);
  const { src } = props;
  return (
    <div className={classes.frame} style={{ aspectRatio: props.ratio ?? "1" }}>
      {src === null || broken === src ? (
        <Center h="100%" c="dimmed">
          <ImageOff size={22} aria-hidden />
        </Center>
      ) : (
        <img
          src={src}
          alt={props.alt}
          loading="lazy"
          decoding="async"
          style={{ objectFit: props.fit ?? "cover" }}
          onError={() => setBroken(src)}
        />
      )}
    </div>
  );
}
