package native

func hostPlatform() *Platform { return Linux() }
