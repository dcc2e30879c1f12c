# SPDX-License-Identifier: Apache-2.0
# Two roots, of which the first issues and both are trusted: ready for a rotation at any time. The providers take addresses and
# tokens from VAULT_ADDR, VAULT_TOKEN, CONSUL_HTTP_ADDR and CONSUL_HTTP_TOKEN.

locals {
  kafka_pki_prefix             = "kafka-pki"
  kafka_broker_allowed_domains = ["kafka.example.com"]
  kafka_client_allowed_domains = ["svc-*"]
}

variable "vault_addr" {
  description = "As brokers and clients reach Vault."
  type        = string
}

module "root_a" {
  source                 = "../kafka_pki"
  path                   = "${local.kafka_pki_prefix}/root-a"
  root_ca_common_name    = "Root A"
  vault_root_url         = var.vault_addr
  broker_allowed_domains = local.kafka_broker_allowed_domains
  client_allowed_domains = local.kafka_client_allowed_domains
  approle                = "kafka"
  more_broker_policies   = [module.root_b.broker_policy]
  more_client_policies   = [module.root_b.client_policy]
}

module "root_b" {
  source                 = "../kafka_pki"
  path                   = "${local.kafka_pki_prefix}/root-b"
  root_ca_common_name    = "Root B"
  vault_root_url         = var.vault_addr
  broker_allowed_domains = local.kafka_broker_allowed_domains
  client_allowed_domains = local.kafka_client_allowed_domains
}

module "issuers" {
  source            = "../kafka_pki_consul"
  key               = "kafka/pki/issuers"
  primary_issuer    = module.root_a.path
  secondary_issuers = [module.root_b.path]
}

output "broker_role_id" {
  value = module.root_a.broker_role_id
}

output "client_role_id" {
  value = module.root_a.client_role_id
}
