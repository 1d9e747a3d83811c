import { Center, Stack, Text, Title } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { Upload } from "lucide-react";
import { useEffect, useState } from "react";
import { offerDropped, readDropped } from "@/shared/dropped";
import classes from "./shell.module.css";

/** Files dropped on any page begin a new dataset, unless the page has a better use for them and takes them itself. */
export function DropAnywhere() {
  const navigate = useNavigate();
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    let leave = 0;
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const over = (event: DragEvent) => {
      window.clearTimeout(leave);
      if (!hasFiles(event) || event.defaultPrevented) {
        setOver(false);
        return;
      }
      event.preventDefault();
      setOver(true);
      // Leaving is told for every element on the way, so it is known by the silence after it.
      leave = window.setTimeout(() => setOver(false), 200);
    };
    const drop = (event: DragEvent) => {
      setOver(false);
      if (!hasFiles(event) || event.defaultPrevented || !event.dataTransfer) return;
      event.preventDefault();
      offerDropped(readDropped(event.dataTransfer));
      void navigate({ to: "/datasets", search: { drop: 1 } });
    };
    window.addEventListener("dragover", over);
    window.addEventListener("drop", drop);
    return () => {
      window.clearTimeout(leave);
      window.removeEventListener("dragover", over);
      window.removeEventListener("drop", drop);
    };
  }, [navigate]);
  if (!isOver) return null;
  return (
    <Center className={classes.drop} aria-hidden>
      <Stack align="center" gap="xs">
        <Upload size={40} />
        <Title order={2} size="h3">
          Drop to make a dataset
        </Title>
        <Text c="dimmed">Pictures with their captions, folders, or archives</Text>
      </Stack>
    </Center>
  );
}
