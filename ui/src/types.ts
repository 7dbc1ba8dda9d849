// The API's objects, as far as the page reads them. What a broker may leave out is
// optional.

import type { Details } from "./components/chart.tsx";

export interface MessageStats {
  publish?: number;
  publish_details?: Details;
  publish_in?: number;
  publish_in_details?: Details;
  publish_out?: number;
  publish_out_details?: Details;
  confirm?: number;
  confirm_details?: Details;
  deliver_get?: number;
  deliver_get_details?: Details;
  deliver?: number;
  deliver_details?: Details;
  deliver_no_ack?: number;
  deliver_no_ack_details?: Details;
  get?: number;
  get_details?: Details;
  get_no_ack?: number;
  get_no_ack_details?: Details;
  get_empty?: number;
  get_empty_details?: Details;
  ack?: number;
  ack_details?: Details;
  redeliver?: number;
  redeliver_details?: Details;
  return_unroutable?: number;
  return_unroutable_details?: Details;
  drop_unroutable?: number;
  drop_unroutable_details?: Details;
}

export interface Lengths {
  messages?: number;
  messages_details?: Details;
  messages_ready?: number;
  messages_ready_details?: Details;
  messages_unacknowledged?: number;
  messages_unacknowledged_details?: Details;
}

export interface Overview {
  cluster_name?: string;
  node?: string;
  product_name?: string;
  product_version?: string;
  rabbitmq_version?: string;
  leveret_version?: string;
  message_stats?: MessageStats;
  queue_totals?: Lengths;
  object_totals?: { connections: number; channels: number; exchanges: number; queues: number; consumers: number };
  churn_rates?: Record<string, unknown>;
  exchange_types?: { name: string; description?: string }[];
  listeners?: { node?: string; protocol: string; ip_address: string; port: number }[];
  contexts?: { description?: string; path?: string; ip?: string; port?: string | number; protocol?: string }[];
}

export interface Node {
  name: string;
  running?: boolean;
  uptime?: number;
  mem_used?: number;
  mem_limit?: number;
  mem_alarm?: boolean;
  disk_free?: number;
  disk_free_limit?: number;
  disk_free_alarm?: boolean;
  fd_used?: number;
  fd_total?: number;
  sockets_used?: number;
  sockets_total?: number;
  proc_used?: number;
  proc_total?: number;
  processors?: number;
  db_dir?: string;
  os_pid?: string;
}

export interface Connection {
  name: string;
  user?: string;
  vhost?: string;
  state?: string;
  ssl?: boolean;
  ssl_protocol?: string | null;
  ssl_cipher?: string | null;
  peer_cert_subject?: string | null;
  protocol?: string;
  channels?: number;
  channel_max?: number;
  frame_max?: number;
  timeout?: number;
  auth_mechanism?: string;
  connected_at?: number;
  host?: string;
  port?: number;
  peer_host?: string;
  peer_port?: number;
  node?: string;
  user_provided_name?: string;
  client_properties?: Record<string, unknown>;
  recv_oct?: number;
  recv_oct_details?: Details;
  send_oct?: number;
  send_oct_details?: Details;
  recv_cnt?: number;
  send_cnt?: number;
  send_pend?: number;
}

export interface Channel {
  name: string;
  number?: number;
  user?: string;
  vhost?: string;
  state?: string;
  confirm?: boolean;
  transactional?: boolean;
  consumer_count?: number;
  messages_unacknowledged?: number;
  messages_unconfirmed?: number;
  messages_uncommitted?: number;
  acks_uncommitted?: number;
  prefetch_count?: number;
  global_prefetch_count?: number;
  idle_since?: string;
  connection_details?: { name?: string; peer_host?: string; peer_port?: number };
  message_stats?: MessageStats;
  consumer_details?: Consumer[];
}

export interface Consumer {
  consumer_tag: string;
  queue?: { name: string; vhost: string };
  channel_details?: {
    name?: string;
    connection_name?: string;
    user?: string;
    peer_host?: string;
    peer_port?: number;
    number?: number;
  };
  ack_required?: boolean;
  exclusive?: boolean;
  active?: boolean;
  activity_status?: string;
  prefetch_count?: number;
  arguments?: Record<string, unknown>;
}

export interface Exchange {
  name: string;
  vhost: string;
  type: string;
  durable?: boolean;
  auto_delete?: boolean;
  internal?: boolean;
  arguments?: Record<string, unknown>;
  policy?: string | null;
  message_stats?: MessageStats;
  user_who_performed_action?: string;
}

export interface Queue extends Lengths {
  name: string;
  vhost: string;
  type?: string;
  state?: string;
  durable?: boolean;
  auto_delete?: boolean;
  exclusive?: boolean;
  arguments?: Record<string, unknown>;
  policy?: string | null;
  operator_policy?: string | null;
  effective_policy_definition?: Record<string, unknown>;
  node?: string;
  consumers?: number;
  consumer_capacity?: number | null;
  consumer_utilisation?: number | null;
  consumer_details?: Consumer[];
  single_active_consumer_tag?: unknown;
  idle_since?: string;
  head_message_timestamp?: number | null;
  message_bytes?: number;
  message_bytes_ready?: number;
  message_bytes_unacknowledged?: number;
  message_bytes_persistent?: number;
  messages_persistent?: number;
  memory?: number;
  message_stats?: MessageStats;
  owner_pid_details?: { name?: string; peer_host?: string; peer_port?: number };
}

export interface Binding {
  source: string;
  vhost: string;
  destination: string;
  destination_type: "queue" | "exchange";
  routing_key: string;
  arguments: Record<string, unknown>;
  properties_key: string;
}

export interface Message {
  exchange: string;
  routing_key: string;
  properties: Record<string, unknown>;
  payload: string;
  payload_encoding: "string" | "base64";
  payload_bytes: number;
  redelivered: boolean;
  message_count?: number;
}

export interface Peeked extends Message {
  position: number;
  state: "ready" | "unacked";
  truncated: boolean;
  delivery_count: number;
  published: number | null;
  expires: number | null;
  message_id: number;
  /** Why it cannot be read. */
  error?: string;
}

export interface Peek {
  items: Peeked[];
  position: number;
  messages: number;
  messages_ready: number;
  messages_unacknowledged: number;
  next: number | null;
}

export interface QueueStorage {
  messages: number;
  log?: { files?: number; bytes?: number; messages?: number };
  memory?: Record<string, number>;
  segments?: {
    file: string;
    bytes: number;
    queue_bytes: number;
    queue_messages: number;
    raw_bytes: number;
    ratio: number;
    created: number | null;
    estimated?: boolean;
    error?: string;
  }[];
  large?: { files?: number; bytes?: number };
  live_bytes?: number;
  raw_bytes?: number;
  ratio?: number;
}
