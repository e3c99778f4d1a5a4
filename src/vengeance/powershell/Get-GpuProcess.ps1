# Reads which processes have memory of the NVIDIA card, and how much. Changes nothing.
#
# in:   {}
# out:  {"counted": true, "reason": null, "of_card": true, "processes": [{"pid": 4120, "image": "llama-server.exe",
#        "path": "C:\\...\\llama-server.exe", "session": 0, "mib": 19230, "committed_mib": 19600, "comfyui": false}]}
#       counted: false, with the reason, where Windows has no such counters (`lodctr /R` builds them anew)
#       of_card: false when Windows does not say which adapter is NVIDIA's; an integrated one is counted too then
#       mib: what of it is in the card's memory now; processes with less than 1 MiB are left out
#       committed_mib: what it has asked for, which may be many times that
#       image, path, session: null when it has ended meanwhile, or this account may not see them
#       comfyui: whether it runs ComfyUI. Its command line is not told, for it can hold passwords
#
# nvidia-smi knows it for no process of a GeForce card under Windows ("N/A": WDDM, the driver model of Windows, has the
# memory). Windows counts it, as Task Manager shows: the counter set "GPU Process Memory", whose instances are called
# pid_1234_luid_0x00000000_0x0000D1F5_phys_0. WMI has it under English names in every language of Windows.
# "Dedicated Usage" of it is committed memory and grows without end in some programs; "Local Usage" is what lies in the
# card: https://github.com/winsiderss/systeminformer/pull/2971 and issue 2389. Seen to lag behind by 15 to 30 seconds.
# What programs in WSL have is its virtual machine's (vmmemWSL). Not tried on a box with such a card: that it is listed.
# The adapter of a LUID: HKLM\SOFTWARE\Microsoft\DirectX\{...}, AdapterLuid (QWORD) and VendorId, as fastfetch reads it:
# https://github.com/fastfetch-cli/fastfetch/blob/dev/src/detection/gpu/gpu_windows.c
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$nvidia = 0x10DE
$mib = 1048576
$class = 'Win32_PerfFormattedData_GPUPerformanceCounters_GPUProcessMemory'

$counted = $true
$reason = $null
$rows = @()
try { $rows = @(Get-CimInstance -ClassName $class) }
catch {
    $counted = $false
    $reason = "${class}: $($_.Exception.Message.Trim())"
}

$cards = @()
foreach ($key in @(Get-ChildItem -LiteralPath 'HKLM:\SOFTWARE\Microsoft\DirectX' -ErrorAction 'SilentlyContinue')) {
    $luid = [long] $key.GetValue('AdapterLuid', 0)
    # 0 is that of a card that was there once.
    if ([long] $key.GetValue('VendorId', 0) -eq $nvidia -and $luid -ne 0) {
        $cards += 'luid_0x{0:X8}_0x{1:X8}' -f ($luid -shr 32), ($luid -band 4294967295)
    }
}

$named = @()
foreach ($row in $rows) {
    if ([string] $row.Name -match '^pid_(\d+)_(luid_0x[0-9A-F]{8}_0x[0-9A-F]{8})_') {
        $named += [pscustomobject] @{
            Id = [long] $Matches[1]
            Card = $cards -contains $Matches[2]
            Local = [long] $row.LocalUsage
            Committed = [long] $row.DedicatedUsage
        }
    }
}
$ofCard = @($named | Where-Object { $_.Card }).Count -gt 0
$held = @{}
foreach ($one in $named) {
    if ($one.Card -or -not $ofCard) {
        if (-not $held.ContainsKey($one.Id)) { $held[$one.Id] = @([long] 0, [long] 0) }
        $held[$one.Id][0] += $one.Local
        $held[$one.Id][1] += $one.Committed
    }
}

$known = @{}
if ($held.Count -gt 0) {
    foreach ($one in @(Get-CimInstance -ClassName 'Win32_Process')) { $known[[long] $one.ProcessId] = $one }
}
$processes = @()
foreach ($id in @($held.Keys | Sort-Object)) {
    if ($held[$id][0] -lt $mib) { continue }
    $one = $known[$id]
    $found = [ordered] @{
        pid = $id
        image = $null
        path = $null
        session = $null
        mib = [long] [Math]::Floor($held[$id][0] / $mib)
        committed_mib = [long] [Math]::Floor($held[$id][1] / $mib)
        comfyui = $false
    }
    if ($null -ne $one) {
        $found.image = [string] $one.Name
        $found.path = $one.ExecutablePath
        $found.session = [int] $one.SessionId
        $place = "$($one.ExecutablePath) $($one.CommandLine)"
        $found.comfyui = $one.Name -eq 'ComfyUI.exe' -or ($one.Name -like 'python*' -and $place -match 'ComfyUI')
    }
    $processes += $found
}

$answer = [ordered] @{ counted = $counted; reason = $reason; of_card = $ofCard; processes = $processes }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
