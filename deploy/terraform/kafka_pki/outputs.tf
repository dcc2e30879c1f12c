# SPDX-License-Identifier: Apache-2.0

output "path" {
  description = "As the Consul key names this root."
  value       = vault_mount.root.path
  depends_on  = [vault_pki_secret_backend_root_cert.root]
}

output "root_certificate" {
  value = vault_pki_secret_backend_root_cert.root.certificate
}

output "broker_policy" {
  value = vault_policy.broker.name
}

output "client_policy" {
  value = vault_policy.client.name
}

output "broker_role_id" {
  description = "Of the AppRole, or null."
  value       = one(vault_approle_auth_backend_role.broker[*].role_id)
}

output "client_role_id" {
  value = one(vault_approle_auth_backend_role.client[*].role_id)
}
