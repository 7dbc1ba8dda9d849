// Every page there is: its place in the address, in the menu, and whom it is for.

import type { ComponentType } from "preact";
import type { Session } from "./api.ts";
import { AuditPage } from "./pages/audit.tsx";
import { BindingsPage } from "./pages/bindings.tsx";
import { ChannelPage, ChannelsPage } from "./pages/channels.tsx";
import { ConnectionPage, ConnectionsPage } from "./pages/connections.tsx";
import { ConsumersPage } from "./pages/consumers.tsx";
import { DefinitionsPage } from "./pages/definitions.tsx";
import { ExchangePage } from "./pages/exchange.tsx";
import { ExchangesPage } from "./pages/exchanges.tsx";
import { OverviewPage } from "./pages/overview.tsx";
import { PoliciesPage } from "./pages/policies.tsx";
import { QueuePage } from "./pages/queue.tsx";
import { QueuesPage } from "./pages/queues.tsx";
import { StoragePage } from "./pages/storage.tsx";
import { UserPage } from "./pages/user.tsx";
import { UsersPage } from "./pages/users.tsx";
import { VHostPage, VHostsPage } from "./pages/vhosts.tsx";
import type { PageProps } from "./router.ts";
import type { Overview } from "./types.ts";

export interface Route {
  /** The address's first part. */
  path: string;
  /** How many parts follow it. */
  params: number;
  title: string;
  /** Under which heading of the menu; absent: not in the menu. */
  group?: string;
  /** The tag that one needs; an administrator has them all. */
  needs?: "management" | "policymaker" | "monitoring" | "administrator";
  /** The overview's total that is shown in the menu. */
  total?: keyof NonNullable<Overview["object_totals"]>;
  page: ComponentType<PageProps>;
}

export const groups = ["", "Traffic", "Topology", "Broker", "Administration"];

export const routes: Route[] = [
  { path: "", params: 0, title: "Overview", group: "", page: OverviewPage },
  { path: "connections", params: 0, title: "Connections", group: "Traffic", total: "connections", page: ConnectionsPage },
  { path: "connections", params: 1, title: "Connection", page: ConnectionPage },
  { path: "channels", params: 0, title: "Channels", group: "Traffic", total: "channels", page: ChannelsPage },
  { path: "channels", params: 1, title: "Channel", page: ChannelPage },
  { path: "consumers", params: 0, title: "Consumers", group: "Traffic", total: "consumers", page: ConsumersPage },
  { path: "exchanges", params: 0, title: "Exchanges", group: "Topology", total: "exchanges", page: ExchangesPage },
  { path: "exchanges", params: 2, title: "Exchange", page: ExchangePage },
  { path: "queues", params: 0, title: "Queues", group: "Topology", total: "queues", page: QueuesPage },
  { path: "queues", params: 2, title: "Queue", page: QueuePage },
  { path: "bindings", params: 0, title: "Bindings", group: "Topology", page: BindingsPage },
  { path: "storage", params: 0, title: "Storage", group: "Broker", needs: "monitoring", page: StoragePage },
  { path: "policies", params: 0, title: "Policies", group: "Broker", page: PoliciesPage },
  { path: "vhosts", params: 0, title: "Virtual hosts", group: "Administration", page: VHostsPage },
  { path: "vhosts", params: 1, title: "Virtual host", needs: "administrator", page: VHostPage },
  { path: "users", params: 0, title: "Users", group: "Administration", needs: "administrator", page: UsersPage },
  { path: "users", params: 1, title: "User", needs: "administrator", page: UserPage },
  { path: "definitions", params: 0, title: "Definitions", group: "Administration", needs: "administrator", page: DefinitionsPage },
  { path: "audit", params: 0, title: "Audit log", group: "Administration", needs: "administrator", page: AuditPage },
];

/** find is the route of a place's parts. */
export function find(parts: string[]): Route | undefined {
  const [first = "", ...rest] = parts;
  return routes.find((r) => r.path === first && r.params === rest.length);
}

/** allowed tells whether a user sees a page. */
export function allowed(r: Route, s: Session): boolean {
  if (!r.needs || s.tags.includes("administrator")) return true;
  const implied: Record<string, string[]> = {
    management: ["management", "policymaker", "monitoring"],
    policymaker: ["policymaker"],
    monitoring: ["monitoring"],
    administrator: [],
  };
  return (implied[r.needs] ?? []).some((t) => s.tags.includes(t));
}
