import { create } from "zustand";

/** Does the server ask this browser for its token again? */
export const useSession = create<{ hasEnded: boolean }>()(() => ({ hasEnded: false }));
