# SPDX-License-Identifier: Apache-2.0

variable "key" {
  description = "Without a slash at its beginning, such as kafka/pki/issuers."
  type        = string
}

variable "primary_issuer" {
  description = "The mount of the root that issues, such as kafka-pki/root-a."
  type        = string
}

variable "secondary_issuers" {
  description = "Mounts of roots that are trusted too."
  type        = list(string)
  default     = []
}

variable "datacenter" {
  description = "Consul's; null: that of the agent that is asked."
  type        = string
  default     = null
}
