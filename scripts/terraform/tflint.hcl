# tflint's own rules, all of them: names, documented and typed variables and outputs, nothing
# unused, versions required, files where they are expected.
config {
  call_module_type = "local"
}

plugin "terraform" {
  enabled = true
  preset  = "all"
}
