package native

func hostPlatform() *Platform { return Illumos() }
