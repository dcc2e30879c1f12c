# SPDX-License-Identifier: Apache-2.0
# The key of Consul's that says which roots are in force: certificates are issued by the primary, all are trusted. It is made
# once and then left alone, since a rotation changes it step by step: deploy/pki/setup.sh consul does the same.

terraform {
  required_version = ">= 1.0"

  required_providers {
    consul = {
      source  = "hashicorp/consul"
      version = ">= 2.15"
    }
  }
}

resource "consul_keys" "issuers" {
  datacenter = var.datacenter

  key {
    path   = var.key
    delete = true
    value = jsonencode({
      primary_issuer    = var.primary_issuer
      secondary_issuers = var.secondary_issuers
    })
  }

  lifecycle {
    ignore_changes = [key]
  }
}

output "key" {
  value = var.key
}
