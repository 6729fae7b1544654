def compared(site, verdict):
    return verdict
