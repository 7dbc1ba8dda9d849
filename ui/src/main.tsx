import "./theme.css";
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { logOut, onSignedOut, whoAmI, type Session } from "./api.ts";
import { Frame } from "./frame.tsx";
import { Login } from "./pages/login.tsx";

/** The login, or the page of who is logged in. */
function App() {
  const [who, setWho] = useState<Session | null | undefined>(undefined); // undefined: not known yet
  const [note, setNote] = useState("");

  useEffect(() => {
    onSignedOut(() => {
      setNote("The session has ended. Log in again.");
      setWho(null);
    });
    whoAmI().then(setWho, (err: unknown) => {
      setNote(err instanceof Error ? err.message : String(err));
      setWho(null);
    });
  }, []);

  async function leave() {
    try {
      await logOut();
    } finally {
      setNote("");
      setWho(null);
    }
  }

  if (who === undefined) return null;
  if (who === null) return <Login note={note} onLogin={setWho} />;
  return <Frame session={who} onSignOut={leave} />;
}

render(<App />, document.getElementById("app")!);
