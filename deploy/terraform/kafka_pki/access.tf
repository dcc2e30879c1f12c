# SPDX-License-Identifier: Apache-2.0
# Who may sign: with the role, and to look after one's own token. The CA, its chain and its CRLs are public.

locals {
  name = replace(var.path, "/", "-")
}

resource "vault_policy" "broker" {
  name   = "${local.name}-broker"
  policy = templatefile("${path.module}/policy.txt", { path = var.path, role = var.broker_role })
}

resource "vault_policy" "client" {
  name   = "${local.name}-client"
  policy = templatefile("${path.module}/policy.txt", { path = var.path, role = var.client_role })
}

resource "vault_auth_backend" "approle" {
  count = var.approle != "" && var.create_approle_auth ? 1 : 0
  type  = "approle"
  path  = var.approle_path
}

resource "vault_approle_auth_backend_role" "broker" {
  count                   = var.approle != "" ? 1 : 0
  backend                 = var.approle_path
  role_name               = "${var.approle}-broker"
  token_policies          = concat([vault_policy.broker.name], var.more_broker_policies)
  token_no_default_policy = true
  token_ttl               = var.token_ttl
  token_max_ttl           = var.token_max_ttl
  bind_secret_id          = true
  secret_id_ttl           = var.secret_id_ttl
  depends_on              = [vault_auth_backend.approle]
}

resource "vault_approle_auth_backend_role" "client" {
  count                   = var.approle != "" ? 1 : 0
  backend                 = var.approle_path
  role_name               = "${var.approle}-client"
  token_policies          = concat([vault_policy.client.name], var.more_client_policies)
  token_no_default_policy = true
  token_ttl               = var.token_ttl
  token_max_ttl           = var.token_max_ttl
  bind_secret_id          = true
  secret_id_ttl           = var.secret_id_ttl
  depends_on              = [vault_auth_backend.approle]
}
